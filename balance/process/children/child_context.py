"""What a child is given when it takes its place: made by the supervisor before the fork, inherited, never sent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from balance.config.model import Config
from balance.process.generation import Generation
from balance.process.ipc.wakeup import Wakeup
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import Locks
from balance.process.sockets.listen_sockets import ListenSockets

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:  # at the top and so before the fork: the library's pages are shared
    from uvloop import new_event_loop
except ImportError:  # asyncio's own does the same, slower
    new_event_loop = asyncio.new_event_loop


@dataclass(frozen=True, slots=True)
class ChildContext:
    """The same for every child; each closes what is not its own. A reload makes another one, for who is born after it."""

    history: tuple[Generation, ...]  # the one that is served last
    board: Board
    locks: Locks  # one per backend
    listen_sockets: ListenSockets
    wakeups: tuple[Wakeup, ...]  # one per row of the board
    liveness_pipe: int  # a pipe that nobody writes to: its end of file says that the supervisor is dead
    supervisor_pid: int
    started_at: float  # when the instance started, seconds since the epoch
    names: Mapping[int, tuple[str, str]]  # by slot: whose counts stand there, also when it is configured no more
    control_restarts: int = 0  # on the board as the instance began
    watch_config: bool = False  # whether a change of the configuration's file is a reload

    @property
    def generation(self) -> Generation:
        return self.history[-1]

    @property
    def config(self) -> Config:
        return self.generation.config

    def before(self, number: int = 0) -> Generation | None:
        """What can be gone back to: the generation of that number, or the newest that differs from what is served.

        One that differs in nothing but what the names that are listened on stand for would be no way back.
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
        """Which block of the board belongs to which (pool, backend)."""
        return self.generation.slots


def watch_liveness_pipe(loop: asyncio.AbstractEventLoop, liveness_pipe: int, on_supervisor_exit: Callable[[], object]) -> None:
    """Call `ended` when the supervisor is dead, however it died."""

    def on_readable() -> None:
        if not os.read(liveness_pipe, 1):
            loop.remove_reader(liveness_pipe)
            on_supervisor_exit()

    loop.add_reader(liveness_pipe, on_readable)
