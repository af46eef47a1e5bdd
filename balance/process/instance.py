"""One instance, from its checked configuration to its exit status: opens everything, says so, and is supervised."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from balance.config.model import Config
from balance.process import announcement, logs
from balance.process.kernel import raise_file_limit
from balance.process.openings import open_all
from balance.process.supervisor import Supervisor
from balance.process.systemd import inherited_sockets

log = logging.getLogger("balance.process")

FEW_FILES = 4096


def serve(config: Config, remarks: Iterable[str] = ()) -> int:
    """Run to the end; `remarks` on the configuration are logged. The exit status, or StartError."""
    fd = logs.open_output(config.logging)
    logs.configure(config.logging, fd, "supervisor")
    for remark in remarks:
        log.warning("%s", remark)
    files = raise_file_limit()
    if files < FEW_FILES:
        log.warning("only %d files may be open in a process, two per connection; raise `ulimit -Hn`", files)
    openings = open_all(config, inherited_sockets(os.environ, os.getpid()))
    try:
        for line in announcement.lines(config, openings):
            log.info("%s", line)
        return Supervisor(config, openings, fd).run()
    finally:
        openings.close()
