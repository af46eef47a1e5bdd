"""The copies of one mirror's requests in one worker: a bounded queue, and a few connections of its own.

Whoever offers a copy never waits. A copy that finds the queue full, or cannot be sent, is dropped and counted. The backends of
the mirror are chosen among those that health checks leave, by weight; neither the choice nor its end counts in their leases,
limits, passive checks, breakers, latencies or retries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import choices
from typing import Final

from balance.background_tasks import spawn
from balance.errors import UpstreamError
from balance.model import Address
from balance.proxy.mirroring.mirror_connection import MirrorConnection
from balance.proxy.net.dial import dial
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.pool import Pool
from balance.stages.mirror import SAFE_METHODS
from balance.tls.backend_context import UpstreamTls

Place = tuple[Address, UpstreamTls | None]  # what connections lead to; one with another identity is used for no other

MAX_QUEUED: Final = 128  # copies
MAX_CONNECTIONS: Final = 8  # copies under way at once
MAX_COPY: Final = 64 * 1024  # bytes of a body; a longer one is not copied (the limit of what is kept for a retry, too)
TIMEOUT_S: Final = 10.0  # for a copy and its reply, the connection included
IDLE_S: Final = 2.0  # below the idle timeouts of backends
MARK_LINE: Final = b"X-Balance-Mirror: 1\r\n"  # tells the mirror, and keeps a copy from being copied again


class Copy:
    """A copy of one request, made as it goes to its first backend. It is queued once its body is whole."""

    __slots__ = ("_block", "_parts", "_queue", "_size", "method", "pool")

    def __init__(self, queue: CopyQueue, pool: Pool, method: bytes, head: bytes, block: int) -> None:
        """`head` is that of the primary; `block` is the first cell of the route's counters, 0 for none."""
        self._queue = queue
        self._parts = [head[:-2], MARK_LINE, b"\r\n"]
        self._size = 0
        self._block = block
        self.method = method
        self.pool = pool

    def add(self, data: bytes, is_whole: bool) -> bool:
        """More of the body, as it goes to the primary. False when no more is wanted: the copy is queued or dropped."""
        self._size += len(data)
        if self._size > MAX_COPY:
            self.break_off()
            return False
        if data:
            self._parts.append(data)
        if is_whole:
            self._queue.offer(self)
        return not is_whole

    @property
    def data(self) -> bytes:
        return b"".join(self._parts)

    def break_off(self) -> None:
        """Nothing more of the body comes, and it is not whole."""
        self._parts.clear()
        self.count(counters.ROUTE_MIRROR_DROPPED)

    def count(self, cell: int) -> None:
        if self._block:
            self._queue.worker.row.cells[self._block + cell] += 1


class CopyQueue:
    """One for each mirror and worker."""

    __slots__ = ("_connections", "_idle", "_waiting", "worker")

    def __init__(self, worker: WorkerContext) -> None:
        self.worker = worker
        self._waiting: deque[Copy] = deque()
        self._connections = 0
        self._idle: dict[Place, list[MirrorConnection]] = {}

    def offer(self, copy: Copy) -> None:
        """Queue a whole copy, or drop it when the queue is full."""
        if len(self._waiting) >= MAX_QUEUED:
            copy.count(counters.ROUTE_MIRROR_DROPPED)
            return
        self._waiting.append(copy)
        if self._connections < MAX_CONNECTIONS:
            self._connections += 1
            spawn(self._work(), "mirror")

    async def _work(self) -> None:
        """Send copies, one after the other, until none is left."""
        try:
            while self._waiting:
                copy = self._waiting.popleft()
                is_answered = False
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        is_answered = await self._send(copy)
                except (TimeoutError, UpstreamError, OSError):
                    pass
                copy.count(counters.ROUTE_MIRRORED if is_answered else counters.ROUTE_MIRROR_DROPPED)
        finally:
            self._connections -= 1

    async def _send(self, copy: Copy) -> bool:
        ready = copy.pool.ready
        if not ready:
            return False
        backend = choices(ready, [backend.load.weight for backend in ready])[0]
        place = backend.address, backend.tls
        self.worker.row.cells[backend.block + counters.COPIES] += 1
        connection = self._take(place)
        if connection is not None and await self._ask(connection, place, copy):
            return True
        if connection is not None and copy.method not in SAFE_METHODS:
            return False  # it may have been read before the connection ended
        return await self._ask(await self._dial(place), place, copy)

    async def _ask(self, connection: MirrorConnection, place: Place, copy: Copy) -> bool:
        try:
            is_answered = await connection.send(self.worker.loop, copy.method, copy.data)
        except BaseException:
            connection.close()
            raise
        if connection.is_usable and not self.worker.is_draining:
            self._park(connection, place)
        else:
            connection.close()
        return is_answered

    async def _dial(self, place: Place) -> MirrorConnection:
        worker = self.worker
        worker.descriptors.dialling()
        try:
            address, tls = place
            connection = await dial(
                worker.loop, worker.resolver, address, lambda: MirrorConnection(worker.descriptors), TIMEOUT_S, tls
            )
        except BaseException:
            worker.descriptors.upstreams -= 1
            raise
        connection.opened()
        return connection

    def _take(self, place: Place) -> MirrorConnection | None:
        """The newest idle connection that is still open."""
        idle = self._idle.get(place)
        while idle:
            connection = idle.pop()
            if not idle:
                del self._idle[place]
            if connection.is_usable:
                return connection
        return None

    def _park(self, connection: MirrorConnection, place: Place) -> None:
        self._idle.setdefault(place, []).append(connection)
        self.worker.loop.call_later(IDLE_S, self._close_idle, connection, place, connection.served)

    def close_idle(self) -> None:
        """Close all idle connections."""
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _close_idle(self, connection: MirrorConnection, place: Place, served: int) -> None:
        """Close a connection that has sent nothing since it was parked."""
        if connection.served == served:
            connection.close()
            idle = self._idle.get(place, [])
            if connection in idle:
                idle.remove(connection)
            if not idle:
                self._idle.pop(place, None)


def copy_queue(worker: WorkerContext, mirror: str) -> CopyQueue:
    """The worker's queue for the pool of this name."""
    queue = worker.copy_queues.get(mirror)
    if not isinstance(queue, CopyQueue):
        queue = worker.copy_queues[mirror] = CopyQueue(worker)
    return queue
