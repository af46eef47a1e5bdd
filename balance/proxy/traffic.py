"""All of a worker's traffic: opens the listeners, keeps its gauges, drains. Made after the fork, one per worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from time import monotonic

from balance.config.model import LoggingConfig
from balance.model import Mode
from balance.proxy.access import AccessLog
from balance.proxy.client import HttpClient
from balance.proxy.entry import Entry
from balance.proxy.service import Service
from balance.proxy.sockets import keep_alive
from balance.proxy.tcp import Downstream
from balance.proxy.waiting import Waiting
from balance.proxy.wheel import TICK_S
from balance.runtime import cells
from balance.runtime.backend import Backend
from balance.runtime.cells import Row
from balance.runtime.pool import Pool
from balance.runtime.snapshot import Listener, Snapshot

BACKLOG = 4096
GAUGES_EVERY = 4  # ticks
LAG_MEMORY = 20  # ticks: for how long the worst lag is shown
FIRST_REQUEST_S = 1.0  # at a drain, how long a connection that was just taken may still bring its first request


class Traffic:
    """See the module. Its methods run on the worker's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, snapshot: Snapshot, row: Row, logging: LoggingConfig) -> None:
        """OSError when the access log can't be opened."""
        access = AccessLog(logging.access_log) if logging.access_log.enabled else None
        self._loop = loop
        self._snapshot = snapshot
        self._row = row
        self._service = Service(loop, row, monotonic(), access)
        self._servers: list[asyncio.Server] = []
        self._backends: dict[int, tuple[Pool, Backend]] = {
            backend.slot: (pool, backend) for pool in snapshot.pools.values() for backend in pool.backends
        }
        self._waiting = [Waiting(loop, pool, pool.queue) for pool in snapshot.pools.values() if pool.queue is not None]
        self._ticks = 0
        self._next_tick = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, sockets: Sequence[tuple[str, socket.socket]]) -> None:
        """Accept on listening `sockets`, each with the name of its listener. KeyError for a name that is not configured."""
        listeners = {listener.name: listener for listener in self._snapshot.listeners}
        self._next_tick = monotonic() + TICK_S
        self._tick()
        for name, sock in sockets:
            keep_alive(sock)
            factory = self._factory(listeners[name], sock)
            self._servers.append(await self._loop.create_server(factory, sock=sock, backlog=BACKLOG))

    def set_ready(self, slot: int, is_ready: bool) -> None:
        """The backend of this slot may be chosen, or may not. Its parked connections go with its readiness."""
        pool, backend = self._backends[slot]
        if pool.set_ready(backend, is_ready) and not is_ready:
            for parked in list(backend.idle):
                parked.discard()

    def see_others(self, active_by_slot: Callable[[int], int]) -> None:
        """Learn what the other workers hold of each backend."""
        for slot, (_, backend) in self._backends.items():
            backend.load.look_elsewhere(active_by_slot(slot))

    async def drain(self, timeout_s: float) -> int:
        """Stop accepting, close what is idle, wait for what is not, cut the rest after `timeout_s`. How many were cut."""
        service = self._service
        await asyncio.sleep(0)  # one more turn, so that connections the kernel has accepted are taken and served
        service.is_draining = True
        for server in self._servers:
            server.close()
        for _, backend in self._backends.values():
            for parked in list(backend.idle):
                parked.discard()
        began = monotonic()
        while service.connections and (now := monotonic()) < began + timeout_s:
            for connection in list(service.connections):
                connection.drain(is_patient=now < began + FIRST_REQUEST_S)
            await asyncio.sleep(TICK_S)
        left = list(service.connections)
        for connection in left:
            connection.cut()
        if left:
            await asyncio.sleep(TICK_S)  # let the last answers out
        for waiting in self._waiting:
            waiting.close()
        if self._timer is not None:
            self._timer.cancel()
        self._write_gauges(monotonic())
        if service.access is not None:
            service.access.close()
        return len(left)

    def _factory(self, listener: Listener, sock: socket.socket) -> Callable[[], asyncio.Protocol]:
        service = self._service
        if listener.mode is Mode.TCP:
            return lambda: Downstream(service, listener)
        name = sock.getsockname()
        entry = Entry(service, listener, name[1] if isinstance(name, tuple) else 0)
        return lambda: HttpClient(entry)

    def _tick(self) -> None:
        now = monotonic()
        self._timer = self._loop.call_later(TICK_S, self._tick)  # first: time goes on whatever happens below
        lag_us = max(0, int((now - self._next_tick) * 1e6))
        board = self._row.cells
        board[cells.LAG_US] = lag_us
        if lag_us > board[cells.LAG_MAX_US] or self._ticks % LAG_MEMORY == 0:
            board[cells.LAG_MAX_US] = lag_us
        board[cells.BEAT_US] = int(now * 1e6)
        self._service.wheel.turn(now)
        self._ticks += 1
        if self._ticks % GAUGES_EVERY == 0:
            self._write_gauges(now)
        self._next_tick = now + TICK_S

    def _write_gauges(self, now: float) -> None:
        """Also lets go of connections that were parked for too long."""
        board = self._row.cells
        board[cells.CONNECTIONS_OPEN] = len(self._service.connections)
        leases = 0
        for _, backend in self._backends.values():
            if backend.idle:
                limit_s = backend.idle_time.limit_s(now)
                while backend.idle and now - backend.idle[0].parked_at > limit_s:
                    backend.idle[0].discard()
            active = backend.load.active
            leases += active
            board[backend.block + cells.ACTIVE] = active
            board[backend.block + cells.IDLE] = len(backend.idle)
            board[backend.block + cells.OPEN] = backend.open_count
        board[cells.EXCHANGES_OPEN] = leases
        for pool in self._snapshot.pools.values():
            pool.tick()
        if self._service.access is not None:
            board[cells.LOG_LINES_LOST] = self._service.access.lost
