"""The load of one process: its connections, and which of them sends the next request.

Closed loop: a connection sends its next request when it has its reply. Open loop: requests are planned by a schedule, and a
free connection sends each at its time, or the first that is free later, counting from the planned time.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from balance.background_tasks import spawn
from balance.cli.bench.connection import UNLIMITED, Connection, EchoConnection, Shared, error_kind
from balance.cli.bench.histogram import BUCKETS
from balance.cli.bench.http_connection import HttpConnection, HttpShared
from balance.cli.bench.pacing import LEAST_TICK_NS, NEVER, Schedule, Ticker
from balance.cli.bench.plan import Plan, request_bytes
from balance.cli.bench.short_connection import ShortTransport

DIALS_AT_ONCE: Final = 64  # servers have a backlog of 128 and more
FAILURE_PAUSE_S: Final = 0.01  # a connection that failed is not made anew at once, but soon
LONGEST_PAUSE_S: Final = 1.0
LATE_NS: Final = 1_000_000
# Requests of a closed loop between two looks at the clock. With a thousand sockets and more that are always ready libuv takes
# 48 times 1,024 events before it runs a timer: a test of 3 s with 5,000 connections took 10.
PORTION: Final = 512
ZEROS: Final = [0] * BUCKETS


class Load:
    """`active` requests are in flight on the `live` connections; `idle` ones have none."""

    def __init__(self, plan: Plan, connections: int, address: str, tls: ssl.SSLContext | None) -> None:
        self._plan = plan
        self._connections = connections
        self._address = address
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        is_inline = plan.rate is None and plan.is_keepalive
        kind = HttpShared if plan.target.is_http else Shared
        self.shared = kind(self, request_bytes(plan), is_closed_loop=is_inline, reply_size=plan.reply_size)
        self.shared.budget = 0
        self._live: set[Connection] = set()
        self._idle: list[Connection] = []
        self._quota = 0  # requests that may still be sent, beyond the budget
        self.on_portion: Callable[[], object] = _nothing
        self._spare = 0 if plan.is_keepalive else connections  # connections that may be made, where each is for one request
        self._active = 0
        self._schedule: Schedule | None = None
        self._ticker: Ticker | None = None
        self._is_started = self._is_closing = False
        self._dials = asyncio.Semaphore(DIALS_AT_ONCE)
        self._failures = 0  # in a row
        self._failing_since = 0
        self.done = asyncio.Event()
        self.errors: dict[str, int] = {}
        self.waited = 0  # requests that no connection was free for
        self.late = 0  # requests that a free connection sent late: this process was busy
        self.latest_ns = 0
        self.sliced = 0  # replies in the slices

    # Phases

    async def connect(self) -> int:
        """Make the connections that are kept. Returns how many there are; the others are tried again later."""
        if self._plan.is_keepalive:
            await asyncio.gather(*(self._dial(0) for _ in range(self._connections)))
        return len(self._live)

    def start(self, start: int, requests: int | None, duration_s: float) -> None:
        """Begin to send, at most so many requests; again, with other numbers, when the warm-up is over."""
        self._is_started = True
        self.done.clear()
        rate = self._plan.rate
        if rate is None:
            self.shared.budget = 0
            self._quota = UNLIMITED if requests is None else max(requests - self._active, 0)
            now = monotonic_ns()
            while self._send_next(now):
                pass
            self._check_done()
            return
        rate /= self._plan.processes
        count = max(int(duration_s * rate), 1) if requests is None else requests
        self._schedule = Schedule(rate, start, count)
        if self._ticker is not None:  # of the warm-up: it ticks between the times of this schedule
            self._ticker.stop()
        self._ticker = Ticker(self._loop, self._tick, start, self._schedule.tick_ns)

    def halt(self) -> None:
        """Send no more of a closed loop."""
        self.shared.budget = self._quota = 0

    def forget(self) -> None:
        """The warm-up is over: count from here."""
        self.shared.counts[:] = ZEROS
        self.errors = {}
        self.waited = self.late = self.latest_ns = self.sliced = 0
        if isinstance(self.shared, HttpShared):
            self.shared.clear()

    def stop(self) -> int:
        """Send no more. Returns how many planned requests no connection was free for: each has waited at least until now."""
        unsent = 0
        self.halt()
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None
        if self._schedule is not None:
            now = monotonic_ns()
            for planned in self._schedule.overdue(now):
                self.shared.record(now - planned)
                unsent += 1
            self._schedule = None
        self._check_done()
        return unsent

    def close(self) -> int:
        """End all connections. Returns how many requests are in flight."""
        self._is_closing = True
        for connection in [*self._live]:
            connection.close()
        return self._active

    def slice(self) -> list[int]:
        """What was counted since the last one: a whole list of buckets."""
        counts = self.shared.counts[:]
        self.shared.counts[:] = ZEROS
        self.sliced += sum(counts)
        return counts

    @property
    def replies(self) -> int:
        return self.sliced + sum(self.shared.counts)

    def sweep(self) -> None:
        """End what waits too long. It has waited for so long at least, and is counted so: it was no quick one."""
        now, limit = monotonic_ns(), int(self._plan.timeout_s * 1e9)
        for connection in [each for each in self._live if each.began and now - each.sent > limit]:
            self.shared.record(now - connection.began)
            connection.abort("timeout")

    # What connections tell

    def joined(self, connection: Connection) -> None:
        self._live.add(connection)
        if self._is_closing:
            connection.close()
        elif not connection.began:
            self._failures = self._failing_since = 0
            self._idle.append(connection)
            if self._schedule is None or self._schedule.next_ns <= monotonic_ns():
                self._send_next(monotonic_ns())

    def answered(self, connection: Connection, now: int) -> None:
        self._active -= 1
        if not self._plan.is_keepalive:
            self._failures = self._failing_since = 0
            connection.close()
        if connection.is_gone:
            self._live.discard(connection)
            if self._plan.is_keepalive:
                self._replace(0.0)
            else:
                self._spare += 1
        else:
            self._idle.append(connection)
        if self._schedule is not None and self._schedule.next_ns <= now and len(self._idle) + self._spare == 1:
            self.waited += 1
        self._send_next(now)
        self._check_done()

    def lost(self, connection: Connection, kind: str) -> None:
        self._live.discard(connection)
        if connection.began:
            self._failed(kind)
        if self._plan.is_keepalive:
            self._replace(FAILURE_PAUSE_S if connection.began else 0.0)
        else:
            self._loop.call_later(self._pause_s(), self._give_back)
        self._check_done()

    # Requests

    def _tick(self) -> None:
        schedule, now = self._schedule, monotonic_ns()
        while schedule is not None and schedule.next_ns <= now and (self._idle or self._spare):
            delay = now - schedule.next_ns
            if not self._send_next(now):
                break
            if delay > LATE_NS:
                self.late += 1
                self.latest_ns = max(self.latest_ns, delay)
        if (
            schedule is not None
            and self._ticker is not None
            and schedule.tick_ns > LEAST_TICK_NS
            and now < schedule.next_ns < NEVER
        ):
            self._ticker.next_at(schedule.next_ns)

    def _send_next(self, now: int) -> bool:
        """Send the next request, if one is due and a connection is free for it."""
        while self._idle and self._idle[-1].is_gone:
            self._idle.pop()
        if not self._idle and not self._spare:
            return False
        if self._schedule is not None:
            if self._schedule.next_ns > now:
                return False
            began = self._schedule.take()
        elif self.shared.budget > 0 or self._refill():
            self.shared.budget -= 1
            began = now
        else:
            return False
        self._active += 1
        if self._idle:
            self._idle.pop().send(began)
        else:
            self._spare -= 1
            self._connect_for(began)
        return True

    def _refill(self) -> bool:
        if self._quota > 0:
            self.on_portion()
        self.shared.budget = min(PORTION, self._quota)
        self._quota -= self.shared.budget
        return self.shared.budget > 0

    def _failed(self, kind: str) -> None:
        self._active -= 1
        self.errors[kind] = self.errors.get(kind, 0) + 1

    def _check_done(self) -> None:
        is_all_sent = self.shared.budget + self._quota <= 0 if self._schedule is None else self._schedule.next_ns == NEVER
        if self._is_started and is_all_sent and not self._active:
            self.done.set()

    # Connections

    def _replace(self, pause_s: float) -> None:
        if not self._is_closing:
            self._loop.call_later(pause_s, self._redial)

    def _redial(self) -> None:
        if not self._is_closing and not self.done.is_set():
            spawn(self._dial(0), "a connection")

    def _give_back(self) -> None:
        self._spare += 1
        self._send_next(monotonic_ns())

    def _pause_s(self) -> float:
        """How long after a failure: the longer the more there were in a row."""
        now = monotonic_ns()
        self._failing_since = self._failing_since or now
        if self._is_started and now - self._failing_since > self._plan.timeout_s * 1e9 and not self._live:
            self.done.set()  # the server is gone: who asked for so many replies would wait for ever
        self._failures += 1
        return min(FAILURE_PAUSE_S * 2.0 ** min(self._failures // self._connections, 10), LONGEST_PAUSE_S)

    def _new(self, began: int) -> Connection:
        if isinstance(self.shared, HttpShared):
            return HttpConnection(self.shared, began)
        return EchoConnection(self.shared, began)

    def _connect_for(self, began: int) -> None:
        """A connection for the one request that was planned for then."""
        if self._tls is not None:
            spawn(self._dial(began), "a connection")
            return
        try:
            ShortTransport(self._loop, self._new(began), (self._address, self._plan.target.port))
        except OSError as error:
            self._failed(error_kind(error))
            self._loop.call_later(self._pause_s(), self._give_back)

    async def _dial(self, began: int) -> None:
        """Make a connection, for the request that was planned for `began`, or to be kept."""
        kind, connection = "", self._new(began)
        name = self._plan.tls.server_name or self._plan.target.server_name if self._tls else None
        try:
            async with self._dials if not began else contextlib.nullcontext(), asyncio.timeout(self._plan.timeout_s):
                await self._loop.create_connection(
                    lambda: connection, self._address, self._plan.target.port, ssl=self._tls, server_hostname=name
                )
            return
        except TimeoutError:
            kind = "connect timeout"
        except ssl.SSLError as error:
            kind = f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
        except OSError as error:
            kind = error_kind(error)
        pause_s = self._pause_s()
        if began:
            self._failed(kind)
            self._loop.call_later(pause_s, self._give_back)
        elif not self._is_closing and not self.done.is_set():
            self.errors[kind] = self.errors.get(kind, 0) + 1
            self._replace(pause_s)
        self._check_done()


def _nothing() -> None:
    pass


def merged(slices: list[list[int]]) -> list[list[int]]:
    """Half as many slices, each of two."""
    pairs = [slices[place : place + 2] for place in range(0, len(slices), 2)]
    return [[sum(each) for each in zip(*pair, strict=True)] for pair in pairs]
