"""Child contexts for tests that run parts of an instance in one process, as the supervisor makes them before a fork."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from balance.config.model import BackendConfig, Config, ListenerConfig, PoolConfig
from balance.config.source import Kind, Source
from balance.model import Address, Mode
from balance.process.children.child_context import ChildContext
from balance.process.generation import Generation
from balance.process.ipc.wakeup import Wakeup
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import Locks
from balance.process.sockets.listen_sockets import ListenSockets
from balance.runtime import counters
from balance.runtime.snapshot import backend_slots


def context(backends: int = 2, workers: int = 2, *, max_slots: int = 0, max_rows: int = 0, **pool: Any) -> ChildContext:
    """One pool `web` with backends b1, b2, ... in slots 1, 2, ...; no listening sockets."""
    names = tuple(BackendConfig(f"b{n}", Address("127.0.0.1", 9000 + n)) for n in range(1, backends + 1))
    listener = ListenerConfig("main", (Address("127.0.0.1", 0),), Mode.HTTP, "web")
    config = Config((listener,), (PoolConfig("web", names, **pool),), workers=workers)
    slots = backend_slots(config)
    board = Board(workers, len(slots) + 1, max_rows=max_rows, max_slots=max_slots)
    for number, row in enumerate(board.rows, start=1):
        row[counters.PLACE] = number
    return ChildContext(
        history=(Generation(1, config, slots, Source(Kind.FILE, "f.yaml"), (), time.time(), "start"),),
        board=board,
        locks=Locks(),
        listen_sockets=ListenSockets((), (), ()),
        wakeups=tuple(Wakeup() for _ in range(workers)),
        liveness_pipe=-1,
        supervisor_pid=os.getpid(),
        started_at=time.time(),
        names={},
    )


async def eventually(condition: Callable[[], bool]) -> None:
    """Run the loop until the condition holds; the caller sets the time limit."""
    while not condition():  # noqa: ASYNC110 - what is waited for stands in shared memory, and memory sets no event
        await asyncio.sleep(0.001)
