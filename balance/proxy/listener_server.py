"""Serves all traffic of one worker: opens listeners, swaps snapshots, writes gauges, drains. Made after the fork."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from math import inf
from time import monotonic

from balance.config.model import LoggingConfig
from balance.proxy.acceptor import Acceptor
from balance.proxy.access_log import AccessLog
from balance.proxy.clients import Clients
from balance.proxy.listener_access import packed_address
from balance.proxy.net.queue_timer import QueueTimer
from balance.proxy.net.timer_wheel import TICK_S
from balance.proxy.tracing.worker_tracing import WorkerTracing
from balance.proxy.worker_context import Drainable, WorkerContext
from balance.runtime import counters
from balance.runtime.backend import Backend, IdleTime
from balance.runtime.health_gate import Shared
from balance.runtime.row import Row
from balance.runtime.snapshot import Listener, Renewal, Snapshot
from balance.tls.contexts import TlsContexts

GAUGES_EVERY = 4  # ticks
SOME_PARKED = 8  # parked connections closed at once for want of descriptors
PARTS = 100  # objects of an old snapshot freed in one go
LAG_MEMORY = 20  # ticks for which the worst lag is shown
HASTE_S = 60.0  # a drain with more time left leaves idle connections to their next request or keep-alive timeout
SPREAD_S = 1.0  # in which a drain closes idle connections, so that not all their clients reconnect at once
ANNOUNCE_CLOSE_S = 2.0  # before a drain's deadline the close is announced, so that peers can answer
FIRST_REQUEST_S = 1.0  # from a drain's begin, in which a new connection may send its first request


class ListenerServer:
    """See the module. Call its methods on the worker's loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        snapshot: Snapshot,
        row: Row,
        logging: LoggingConfig,
        shared: Shared | None = None,
        tls: TlsContexts | None = None,
        access_log_fd: int | None = None,
    ) -> None:
        """`shared` is what the processes of the instance share, None for a process by itself. `tls` likewise: contexts made
        before the fork, whose session tickets all workers know. `access_log_fd` is its file, where that is open already.

        OSError when the access log can't be opened.
        """
        access = AccessLog(logging.access_log, access_log_fd) if logging.access_log.enabled else None
        self._loop = loop
        self._snapshot = snapshot
        self.tls = tls or TlsContexts(snapshot.config)
        self._row = row
        self._shared = shared or Shared.with_nobody(row.cells)
        self._worker = WorkerContext(loop, row, monotonic(), access, self._shared)
        self._tracing = WorkerTracing(self._worker, snapshot.config)
        self._acceptors: dict[socket.socket, Acceptor] = {}
        self._clients: dict[str, Clients] = {}  # by listener; a removed one as long as it has connections
        self._worker.descriptors.make_room = self._discard_parked
        self._leaving: dict[int, Backend] = {}  # by slot: not configured any more, but still in use
        self.catch_up: Callable[[], int] = _nobody_tells
        self._applied_us = 0  # the result of catch_up() at the beginning of the round
        self._gauges_due: list[Backend] = []  # backends whose gauges are still to be written in this round
        self._drained_by = self._announce_close_at = inf
        self._waiting: list[QueueTimer] = []  # the timers of the pools' queues
        self._logs_left: list[AccessLog] = []  # replaced ones, that still write
        self._ticks = 0
        self._next_tick = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._turn_queues()

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that new requests are served with."""
        return self._snapshot

    @property
    def leaving(self) -> list[Backend]:
        """Backends that are not configured any more but still in use."""
        return list(self._leaving.values())

    @property
    def client_count(self) -> int:
        """Connections of clients now, over all listeners."""
        return self._worker.descriptors.clients

    async def open(self, sockets: Sequence[tuple[str, socket.socket]]) -> None:
        """Listen on `sockets`, each with the name of its listener. KeyError for a name that is not configured."""
        self._next_tick = monotonic() + TICK_S
        self._tick()
        self._lead(sockets)

    async def swap(
        self,
        snapshot: Snapshot,
        renewals: Iterable[Renewal],
        sockets: Sequence[tuple[str, socket.socket]],
        tls: TlsContexts | None = None,
    ) -> None:
        """Change to another snapshot and these sockets, with `tls` as made for it. The loop turns in between.

        Requests under way end with their old settings. `renewals` are the snapshot's, see prepare().
        """
        pause = Pause()
        for renewal in renewals:
            for _ in renewal.steps():
                await pause.if_due()
        present = snapshot.backends
        gone = [backend for slot, (_, backend) in self._snapshot.backends.items() if slot not in present]
        await pause.if_due()
        before, self._snapshot = self._snapshot, snapshot
        self.tls = tls or TlsContexts(snapshot.config, self.tls)
        self._leaving = {slot: backend for slot, backend in self._leaving.items() if slot not in present}
        self._leaving |= {backend.slot: backend for backend in gone}
        self._gauges_due = []
        self._retire(before)
        self._tracing.use(snapshot.config)
        self._worker.response_reader.forget()
        self._worker.tolerant_reader.forget()
        self._turn_queues()
        self._lead(sockets)
        await pause.if_due()
        for backend in gone:
            backend.idle_time = IdleTime(0.0)  # connections that are parked later are closed at the next tick
            for parked in list(backend.idle):
                parked.discard()
            await pause.if_due()
        parts = [*before.pools.values(), *(backend for pool in before.config.pools for backend in pool.backends)]
        gone.clear()
        await pause.if_due()
        del before
        while parts:  # freeing 10,000 backends in one go would block the loop for 15 ms
            del parts[-PARTS:]
            await pause.if_due()

    def look_at_clients(self) -> None:
        """On a wakeup: other workers want permits for clients, or have given some back."""
        for clients in self._clients.values():
            clients.look()

    def _lead(self, sockets: Sequence[tuple[str, socket.socket]]) -> None:
        """Make exactly these sockets lead to exactly these listeners. Does nothing once a drain has begun."""
        if self._worker.is_draining:
            return
        listeners = {listener.name: listener for listener in self._snapshot.listeners}
        for listener in listeners.values():
            self._clients_of(listener).configure(listener.max_clients)
        acceptors = {}
        for name, sock in sockets:
            listener = listeners[name]
            acceptor = self._acceptors.get(sock)
            if acceptor is None:
                acceptor = Acceptor(self._worker, sock, listener, self._clients[name], tls=self.tls.by_listener.get(name))
                acceptor.open()
            else:
                acceptor.lead_to(listener, self._clients[name], self.tls.by_listener.get(name))
            acceptors[sock] = acceptor
        closed = [acceptor for sock, acceptor in self._acceptors.items() if sock not in acceptors]
        self._acceptors = acceptors
        for acceptor in closed:
            acceptor.close()
        self._worker.descriptors.measure()

    def _clients_of(self, listener: Listener) -> Clients:
        clients = self._clients.get(listener.name)
        if clients is None or clients.slot != listener.slot:
            clients = self._clients[listener.name] = Clients(self._worker, listener.name, listener.slot, self._shared)
        return clients

    def _retire(self, before: Snapshot) -> None:
        """Retire the pools that are not in the new snapshot."""
        for name, pool in before.pools.items():
            if self._snapshot.pools.get(name) is not pool:
                pool.retire()

    def _turn_queues(self) -> None:
        """Give each queue a timer, and each timer the pool that has its queue now."""
        pools = self._snapshot.pools.values()
        queues = {pool.queue for pool in pools}
        self._waiting = [waiting for waiting in self._waiting if waiting.queue.waiters or waiting.queue in queues]
        turned = {waiting.queue: waiting for waiting in self._waiting}
        for pool in pools:
            if pool.queue in turned:
                turned[pool.queue].pool = pool
            elif pool.queue is not None:
                self._waiting.append(QueueTimer(self._loop, pool, pool.queue))

    def log_to(self, access: AccessLog | None) -> None:
        """Change to another access log, None for none. The old one still writes its lines."""
        before, self._worker.access = self._worker.access, access
        if before is not None:
            before.leave()
            self._logs_left.append(before)

    def set_ready(self, slot: int, is_ready: bool) -> None:
        """Make the backend of this slot ready or not. Its parked connections are closed when it is not."""
        pool, backend = self._snapshot.backends[slot]
        if pool.set_ready(backend, is_ready) and not is_ready:
            for parked in list(backend.idle):
                parked.discard()

    def see_others(self, slots: Iterable[int], active: Iterable[int]) -> None:
        """Take in the leases that other workers have of the backends of these slots."""
        backends = self._snapshot.backends
        for slot, held in zip(slots, active, strict=True):
            found = backends.get(slot)
            if found is not None:
                load = found[1].load
                if held or load.active_elsewhere:
                    load.sample_elsewhere(held)

    def shorten_drain(self, timeout_s: float) -> None:
        """End the drain within `timeout_s` from now, unless its deadline is earlier. It may be under way."""
        by = monotonic() + timeout_s
        if by < self._drained_by:
            self._drained_by = by
            self._announce_close_at = by - min(ANNOUNCE_CLOSE_S, timeout_s / 4)

    async def drain(self, timeout_s: float) -> int:
        """Stop accepting, wait for what is under way, cut the rest after `timeout_s`. Returns how many were cut.

        Idle connections are closed when HASTE_S or less is left, and FIRST_REQUEST_S later new ones that have said nothing.
        The close is announced shortly before the deadline.
        """
        worker = self._worker
        for acceptor in self._acceptors.values():
            acceptor.close()
        await asyncio.sleep(0)  # one more turn, so that connections that begin TLS have their transports
        worker.drain()
        for backend in self._all_backends():
            for parked in list(backend.idle):
                parked.discard()
        self.shorten_drain(timeout_s)
        began, spread_s = inf, 0.0  # closing of idle connections
        waiting: list[Drainable] = []
        count = 0
        while (worker.connections or worker.callers) and (now := monotonic()) < self._drained_by:
            left_s = self._drained_by - now
            if began == inf and left_s <= HASTE_S:
                began, spread_s = now, min(SPREAD_S, left_s / 10)
                waiting = list(worker.connections)
                count = len(waiting)
            if now >= began + spread_s:
                turn = list(worker.connections)
            else:
                # A client that sends another request before its turn is told by the reply, so no close crosses a request.
                keep = int(count * (1 - (now - began) / spread_s)) if began < inf else 0
                turn = waiting[keep:]
                del waiting[keep:]
            for connection in turn:
                connection.drain(is_patient=now < began + FIRST_REQUEST_S)
            if now >= began + FIRST_REQUEST_S:
                self._refuse_callers()
            if now >= self._announce_close_at:
                for connection in list(worker.connections):
                    connection.announce_close()
            await asyncio.sleep(TICK_S)
        self._refuse_callers()
        left = list(worker.connections)
        for connection in left:
            connection.cut()
        if left:
            await asyncio.sleep(TICK_S)  # let the last replies out
        for queue in self._waiting:
            queue.close()
        if self._timer is not None:
            self._timer.cancel()
        self._write_gauges(monotonic())
        await self._tracing.close()
        if worker.access is not None:
            worker.access.close()
            self._row.cells[counters.LOG_LINES_LOST] += worker.access.take_lost()
        worker.close()
        return len(left)

    def _refuse_callers(self) -> None:
        """Close connections that have not said what their listener must know before it takes them."""
        for caller in tuple(self._worker.callers):
            caller.refuse()

    def _tick(self) -> None:
        now = monotonic()
        self._timer = self._loop.call_later(TICK_S, self._tick)  # first, so that an error below does not stop the timer
        lag_us = max(0, int((now - self._next_tick) * 1e6))
        board = self._row.cells
        board[counters.LAG_US] = lag_us
        if lag_us > board[counters.LAG_MAX_US] or self._ticks % LAG_MEMORY == 0:
            board[counters.LAG_MAX_US] = lag_us
        board[counters.BEAT_US] = int(now * 1e6)
        board[counters.BUFFER_HELD] = self._worker.buffered.held
        self._worker.wheel.turn(now)
        if self._worker.blocks.refresh():
            self._blocks_changed(now)
        self._ticks += 1
        self._write_gauges(now, 1 + len(self._snapshot.backends) // GAUGES_EVERY)
        self._next_tick = now + TICK_S

    def _blocks_changed(self, now: float) -> None:
        """Judge new connections by what is blocked now, and cut those that are open."""
        for acceptor in self._acceptors.values():
            acceptor.blocks_changed()
        blocks = self._worker.blocks.blocks
        if not blocks:
            return
        now_us = int(now * 1e6)
        for connection in tuple(self._worker.connections):
            packed = packed_address(connection.client_address)
            if packed is not None and blocks.has(packed, now_us):
                connection.cut()

    def _write_gauges(self, now: float, some: int = 0) -> None:
        """Write the worker's gauges, and those of the next `some` backends of the round; of all backends when 0.

        A part at a time, so that many backends don't block the loop. Also closes connections that were parked for too long and
        advances the retry budgets.
        """
        board = self._row.cells
        board[counters.CONNECTIONS_OPEN] = len(self._worker.connections)
        for clients in tuple(self._clients.values()):
            clients.tick()
            if not clients.acceptors and not clients.count:  # no socket leads to the listener any more
                del self._clients[clients.name]
                clients.close()
        if not self._gauges_due or not some:
            self._applied_us = self.catch_up()
            self._gauges_due = self._all_backends()
        part, self._gauges_due = (self._gauges_due[:some], self._gauges_due[some:]) if some else (self._gauges_due, [])
        for backend in part:
            if backend.idle:
                limit_s = backend.idle_time.limit_s(now)
                while backend.idle and now - backend.idle[0].parked_at > limit_s:
                    backend.idle[0].discard()
            active = backend.load.active
            board[counters.EXCHANGES_OPEN] += active - board[backend.block + counters.ACTIVE]
            board[backend.block + counters.ACTIVE] = active
            board[backend.block + counters.IDLE] = len(backend.idle)
            board[backend.block + counters.OPEN] = backend.open_count
            if backend.permits is not None:
                backend.permits.tick()
            if not active and not backend.open_count and self._leaving.get(backend.slot) is backend:
                del self._leaving[backend.slot]
                backend.let_go()
        if not self._gauges_due:
            board[counters.APPLIED_US] = self._applied_us
        if self._ticks % GAUGES_EVERY == 0:
            for pool in self._snapshot.pools.values():
                pool.tick()
        for retrying in self._snapshot.retrying.values():
            retrying.budget.advance(now)
        if self._worker.tracer is not None:
            self._tracing.count()
        access = self._worker.access
        if access is not None:
            access.flush()
            board[counters.LOG_LINES_LOST] += access.take_lost()
        for left in tuple(self._logs_left):
            board[counters.LOG_LINES_LOST] += left.take_lost()
            if left.has_ended:
                self._logs_left.remove(left)

    def _discard_parked(self) -> None:
        """Descriptors are short: close the SOME_PARKED longest parked connections."""
        parked = (parked for backend in self._all_backends() for parked in backend.idle[:SOME_PARKED])
        for each in nsmallest(SOME_PARKED, parked, key=lambda parked: parked.parked_at):
            each.discard()

    def _all_backends(self) -> list[Backend]:
        return [*(backend for _, backend in self._snapshot.backends.values()), *self._leaving.values()]


def _nobody_tells() -> int:
    return 0


class Pause:
    """Lets the loop turn when SPAN_S seconds have passed since it last did."""

    __slots__ = ("_due",)

    SPAN_S = 0.004

    def __init__(self) -> None:
        self._due = monotonic() + self.SPAN_S

    async def if_due(self) -> None:
        if monotonic() >= self._due:
            await asyncio.sleep(0)
            self._due = monotonic() + self.SPAN_S
