"""What a child process inherits from the supervisor by fork: configuration, shared memory, locks, sockets, wakeups."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from balance.config.model import Config
from balance.process.children.autoscaling_state import AutoscalingState
from balance.process.generation import Generation
from balance.process.ipc.wakeup import Wakeup
from balance.process.privileges import Credentials
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import Locks
from balance.process.sockets.listen_sockets import ListenSockets
from balance.security.key_set import JwksSource, KeyState
from balance.tls.backend_context import BackendContexts
from balance.tls.contexts import TlsContexts

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:  # at the top and so before the fork: the library's pages are shared
    from uvloop import new_event_loop
except ImportError:  # asyncio's own does the same, slower
    new_event_loop = asyncio.new_event_loop

NO_LISTENERS = Config((), ())


@dataclass(frozen=True, slots=True)
class ChildContext:
    """The same for every child; each closes what it does not use. A reload makes a new one for the children forked after it."""

    history: tuple[Generation, ...]  # the last one is served
    board: Board
    locks: Locks  # one per backend
    listen_sockets: ListenSockets
    wakeups: tuple[Wakeup, ...]  # one per worker row
    liveness_pipe: int  # read end of a pipe that nobody writes to; EOF when the supervisor dies
    supervisor_pid: int
    started_at: float  # when the instance started, seconds since the epoch
    names: Mapping[int, tuple[str, str]]  # (pool, backend) by slot, removed ones included
    control_restarts: int = 0  # as counted when the instance started
    watch_config: bool = False  # --watch: a change of the configuration file is a reload
    credentials: Credentials | None = None  # whom children become; None: what the supervisor is
    access_log_fd: int | None = None  # opened by the supervisor where children have other credentials, and may not
    tls: TlsContexts = field(default_factory=lambda: TlsContexts(NO_LISTENERS))  # of workers that are forked from now on
    tls_to_backends: BackendContexts = field(default_factory=lambda: BackendContexts(NO_LISTENERS))  # likewise

    key_states: dict[JwksSource, KeyState] = field(default_factory=dict)  # what control has fetched; kept up to date in place
    autoscaling: AutoscalingState = field(default_factory=AutoscalingState)  # likewise

    @property
    def generation(self) -> Generation:
        return self.history[-1]

    @property
    def config(self) -> Config:
        return self.generation.config

    def before(self, number: int = 0) -> Generation | None:
        """The generation to roll back to: the one with that number, or the newest whose configuration differs.

        A generation that differs only in resolved addresses is no rollback target.
        """
        now = self.generation
        for generation in reversed(self.history[:-1]):
            if generation.number == number:
                return generation
            if not number and generation.config != now.config:
                return generation
        return None

    @property
    def slots(self) -> Mapping[tuple[str, str], int]:
        """The shared-memory slot of each (pool, backend)."""
        return self.generation.slots


def watch_liveness_pipe(loop: asyncio.AbstractEventLoop, liveness_pipe: int, on_supervisor_exit: Callable[[], object]) -> None:
    """Call `on_supervisor_exit` when the supervisor is dead: the pipe's write end is held by it alone, so it reads EOF."""

    def on_readable() -> None:
        if not os.read(liveness_pipe, 1):
            loop.remove_reader(liveness_pipe)
            on_supervisor_exit()

    loop.add_reader(liveness_pipe, on_readable)
