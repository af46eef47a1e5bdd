"""Loads and validates a configuration in a short-lived loader process, so that the supervisor never blocks and its memory does
not grow.

Reading the file and resolving host names may take long: both happen here.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field, replace
from typing import Final

from balance.config.model import Config
from balance.config.overrides.runtime_overrides import RuntimeChange
from balance.config.source import Source
from balance.discovery.discovered_pool import DiscoveredPool
from balance.errors import ConfigError, Problem, StartError
from balance.process.children.child import SupervisorPipe
from balance.process.ipc.messages import LOAD_FAILED, LOADED
from balance.process.os_calls import set_parent_death_signal
from balance.process.sockets.listen_sockets import ListenSockets, ResolvedHosts, resolve_hosts
from balance.tls.settings import Served

NICENESS = 5  # the workers have priority


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What to load."""

    source: Source
    is_reread: bool  # read the file again instead of using the text at hand
    changes: tuple[RuntimeChange, ...]
    served: Served = field(default_factory=Served)  # kept where its files can't be used now
    discovered: tuple[DiscoveredPool, ...] = ()  # laid over the source, beneath the changes


UNCHANGING: Final = ("user", "group", "metrics.buckets")  # what can't be another while the processes live


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, and what became of the runtime changes laid over it."""

    config: Config
    source: Source
    changes: tuple[RuntimeChange, ...]
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]
    hosts: ResolvedHosts  # see resolve()
    discovered: tuple[DiscoveredPool, ...] = ()  # as in the request
    places: tuple[Problem, ...] = ()  # without words: where UNCHANGING stand

    def refused(self, path: str, why: str) -> str:
        """Why a key of UNCHANGING is refused, with its place in the file."""
        return next((str(replace(place, message=why)) for place in self.places if place.path == path), f"{path}: {why}")


def load(request: LoadRequest, listen_sockets: ListenSockets, supervisor_pipe: SupervisorPipe, supervisor_pid: int = 0) -> int:
    """The loader's main function: sends LOADED with a Loaded, or LOAD_FAILED with one line per problem.

    Exits with the supervisor, if its pid is given.
    """
    if supervisor_pid:
        set_parent_death_signal(supervisor_pid, signal.SIGKILL)  # reading a pipe or a network share may block for ever
    listen_sockets.close_copies()
    os.nice(NICENESS)
    try:
        source = request.source.read() if request.is_reread else request.source
        changed = source.load(request.changes, served=request.served, discovered=request.discovered)
        loaded = changed.loaded
        hosts = resolve_hosts(loaded.config)
    except ConfigError as error:
        supervisor_pipe.pipe_end.send(LOAD_FAILED, tuple(map(str, error.problems)))
        return 0
    except StartError as error:
        supervisor_pipe.pipe_end.send(LOAD_FAILED, (str(error),))
        return 0
    found = Loaded(
        loaded.config,
        source,
        tuple(changed.kept),
        tuple(changed.dropped),
        tuple(map(str, loaded.warnings)),
        hosts,
        request.discovered,
        tuple(loaded.paths.document.problem(tuple(key.split(".")), "") for key in UNCHANGING),
    )
    supervisor_pipe.pipe_end.send(LOADED, found)
    return 0
