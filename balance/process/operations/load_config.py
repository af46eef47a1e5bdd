"""Reading and checking a configuration in a process of its own: the supervisor goes on, and none of it stays in its memory.

Whatever may take its time is done here, too: a file on a share that is away, a resolver that does not answer.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from balance.config.model import Config
from balance.config.overrides.runtime_overrides import BackendChange
from balance.config.source import Source
from balance.errors import ConfigError, StartError
from balance.process.children.child import SupervisorPipe
from balance.process.ipc.messages import LOAD_FAILED, LOADED
from balance.process.os_calls import set_parent_death_signal
from balance.process.sockets.listen_sockets import ListenSockets, ResolvedHosts, resolve_hosts

NICENESS = 5  # whoever serves goes first


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What is to be read."""

    source: Source
    is_reread: bool  # from its place, and not as it was
    changes: tuple[BackendChange, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is good, and what became of the changes that were laid over it."""

    config: Config
    source: Source
    changes: tuple[BackendChange, ...]
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]
    hosts: ResolvedHosts  # see resolve()


def load(request: LoadRequest, listen_sockets: ListenSockets, supervisor_pipe: SupervisorPipe, supervisor_pid: int = 0) -> int:
    """The whole life of the process: says LOADED with a Loaded, or UNLOADABLE with one line for each problem.

    It ends with that supervisor, if one is named.
    """
    if supervisor_pid:
        set_parent_death_signal(supervisor_pid, signal.SIGKILL)  # a pipe or a network share may hold the reading up for ever
    listen_sockets.close_copies()
    os.nice(NICENESS)
    try:
        source = request.source.read() if request.is_reread else request.source
        changed = source.load(request.changes)
        loaded = changed.loaded
        hosts = resolve_hosts(loaded.config)
    except ConfigError as error:
        supervisor_pipe.pipe_end.send(LOAD_FAILED, tuple(map(str, error.problems)))
        return 0
    except StartError as error:
        supervisor_pipe.pipe_end.send(LOAD_FAILED, (str(error),))
        return 0
    found = Loaded(loaded.config, source, tuple(changed.kept), tuple(changed.dropped), tuple(map(str, loaded.warnings)), hosts)
    supervisor_pipe.pipe_end.send(LOADED, found)
    return 0
