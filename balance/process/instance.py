"""One instance, from its checked configuration to its exit status: opens everything, says so, and is supervised."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from balance.config.model import Config
from balance.config.source import Source
from balance.process import announcement, logs
from balance.process.kernel import raise_file_limit
from balance.process.openings import open_all
from balance.process.supervisor import Supervisor
from balance.process.systemd import Notify, inherited_sockets

log = logging.getLogger("balance.process")

FEW_FILES = 4096


def serve(config: Config, source: Source, remarks: Iterable[str] = ()) -> int:
    """Run to the end; `remarks` on the configuration are logged, and it is read again from `source`.

    The exit status, or StartError.
    """
    logs.configure(config.logging, logs.open_output(config.logging), "supervisor")
    for remark in remarks:
        log.warning("%s", remark)
    files = raise_file_limit()
    if files < FEW_FILES:
        log.warning("only %d files may be open in a process, two per connection; raise `ulimit -Hn`", files)
    notify = Notify.from_environment(os.environ, os.getpid())
    openings = open_all(config, inherited_sockets(os.environ, os.getpid()))
    for line in announcement.lines(config, openings):
        log.info("%s", line)
    supervisor = Supervisor(config, source, openings, notify)
    try:
        return supervisor.run()
    finally:
        supervisor.openings.close()
