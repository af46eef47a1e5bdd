"""Runs one instance, from its validated configuration to its exit status."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable

from balance.config.fault_ends import with_fault_ends
from balance.config.model import Config
from balance.config.overrides.runtime_overrides import RuntimeChange
from balance.config.source import Source
from balance.discovery.discovered_pool import DiscoveredPool
from balance.errors import BalanceError, ConfigError, StartError
from balance.model import Address
from balance.process import logs
from balance.process.operations import startup_log
from balance.process.operations.load_apart import load_apart
from balance.process.operations.upgrade_protocol import HandoverState, take_over
from balance.process.os_calls import raise_file_limit
from balance.process.privileges import ADVICE
from balance.process.sockets.listen_sockets import open_all
from balance.process.supervisor import descriptor_needs, signals
from balance.process.supervisor.supervisor import Supervisor
from balance.process.supervisor.systemd import SystemdNotifier, activation_sockets

log = logging.getLogger("balance.process")

FEW_FILES = 4096


def serve(config: Config, source: Source, warnings: Iterable[str] = (), *, watch_config: bool = False) -> int:
    """Run the instance. `warnings` on the configuration are logged; reloads read it again from `source`.

    `watch_config`: reload whenever the file changes. Returns the exit status; StartError when it cannot start.
    """
    logs.configure(config.logging, logs.open_output(config.logging), "supervisor")
    for remark in startup_log.limit_warnings(warnings):
        log.warning("%s", remark)
    files = raise_file_limit()
    if files < FEW_FILES:
        log.warning("only %d files may be open in a process, two per connection; raise `ulimit -Hn`", files)
    handover_state = take_over(os.environ)
    try:
        return _run(config, source, handover_state, watch_config=watch_config)
    except (BalanceError, OSError) as error:
        if handover_state is not None:
            handover_state.notify_failed(str(error))
        raise


def _run(config: Config, source: Source, handover_state: HandoverState | None, *, watch_config: bool) -> int:
    systemd = SystemdNotifier.from_environment(os.environ, os.getpid())
    descriptor_needs.check(config, inherits=handover_state is not None)
    if handover_state is None:
        listen_sockets = open_all(config, activation_sockets(os.environ, os.getpid()))
    else:
        config, handover_state.changes = _changed(source, config, handover_state.changes, handover_state.discovered)
        chosen = {
            (name, Address.parse(configured)): Address.parse(bound)
            for (name, configured), bound in handover_state.ephemeral_ports.items()
        }
        listen_sockets = open_all(config, handover_state.sockets, handover_state.owned_paths, chosen)
    now_s = time.time()
    config = with_fault_ends(config, () if handover_state is None else handover_state.fault_ends, now_s)
    for line in startup_log.lines(config, listen_sockets, now_s):
        log.info("%s", line)
    if os.geteuid() == 0 and not config.user:
        log.warning("%s", ADVICE)
    supervisor = Supervisor(config, source, listen_sockets, systemd, handover_state, watch_config=watch_config)
    try:
        return supervisor.run()
    finally:
        supervisor.close()
        signals.ignore()


def _changed(
    source: Source, config: Config, changes: list[RuntimeChange], discovered: list[DiscoveredPool]
) -> tuple[Config, list[RuntimeChange]]:
    """The configuration with what the replaced instance has discovered, and its runtime changes, as far as they still apply."""
    if not changes and not discovered:
        return config, []
    try:
        found = load_apart(lambda: source, changes, discovered)
    except ConfigError as error:
        raise StartError(f"with what was changed at run time: {error}") from None
    for line in found.dropped:
        log.warning("%s", line)
    return found.config, list(found.kept)
