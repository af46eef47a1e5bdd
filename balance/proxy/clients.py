"""The client connections of one listener in this worker: how many there are, whether one more may come (`max_clients`, and what
there are descriptors for), and which one makes room for it: the one that has been idle for longest.

`max_clients` holds over all workers, also over those that finish what they have while their successors serve: each connection
has a permit, as leases of a backend with a limit have (runtime.max_connections). nginx does the same with its
worker_connections, which take the oldest of its idle connections back; HAProxy has no more than callers that wait.
"""

from __future__ import annotations

import heapq
from time import monotonic

from balance.load import Load
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.worker_context import Acceptance, Drainable, WorkerContext
from balance.runtime import counters
from balance.runtime.health_gate import Shared
from balance.runtime.max_connections import Limited, Permits

SOME = 64  # idle clients that one look through all finds, and that one tick closes at most


class Clients:
    """Lives as long as its listener is configured or has connections, across snapshots."""

    __slots__ = (
        "_idle",
        "_is_going_on",
        "_is_looked_through",
        "_limited",
        "_row",
        "_shared",
        "_worker",
        "acceptors",
        "is_crowded",
        "name",
        "slot",
        "waiting",
    )  # fmt: skip

    def __init__(self, worker: WorkerContext, name: str, slot: int, shared: Shared) -> None:
        """`slot` is the listener's block on the board; 0 where it has none, and so no limit."""
        self.name = name
        self.slot = slot
        self.acceptors: set[Acceptance] = set()
        self.waiting: list[Acceptance] = []  # for one to leave
        self.is_crowded = False  # others want in: no client stays for one more request
        self._worker = worker
        self._row = worker.row.cells
        self._shared = shared
        self._limited = Limited(slot, Load(), 0)
        self._idle: list[tuple[float, int, Drainable]] = []  # those that were so when last looked for, the oldest last
        self._is_looked_through = False  # in this tick, and none was found
        self._is_going_on = False

    @property
    def count(self) -> int:
        """Connections here now."""
        return self._limited.load.active

    def configure(self, limit: int) -> None:
        """So many at once over all workers, 0 for any number."""
        limited = self._limited
        if limited.limit == limit or not limited.slot:
            return
        limited.limit = limit
        if limited.permits is None:
            permits = Permits(limited, self._row, self._shared)
            permits.waiters = self.waiting
            permits.wake = self.go_on
        self.tick()

    # --- the way in and out ---------------------------------------------------------------------------

    def may_enter(self) -> bool:
        """A place for one more, which is counted already. leave() is due, or withdraw() when nobody comes."""
        descriptors = self._worker.descriptors
        if descriptors.clients >= descriptors.most:
            return False
        limited = self._limited
        load = limited.load
        load.active += 1
        if load.active > limited.credit and (limited.permits is None or not limited.permits.take()):
            load.active -= 1
            return False
        descriptors.clients += 1
        return True

    def withdraw(self) -> None:
        """Nobody came. Nothing is free now that was not free before: those who wait would wake themselves for ever."""
        limited = self._limited
        limited.load.active -= 1
        self._worker.descriptors.clients -= 1
        permits = limited.permits
        if permits is not None and permits.is_pressed:
            permits.settle()  # what was taken, others want

    def leave(self) -> None:
        """A connection is gone.

        Its descriptor is closed when this turn of the loop is over.
        """
        limited = self._limited
        limited.load.active -= 1
        worker = self._worker
        descriptors = worker.descriptors
        descriptors.clients -= 1
        permits = limited.permits
        if permits is not None and (permits.is_pressed or permits.waiters):
            permits.freed()
        if descriptors.waiting:
            self.go_on()

    def go_on(self) -> None:
        """There may be a place for those who wait: they are asked at the next turn of the loop."""
        if not self._is_going_on:
            self._is_going_on = True
            self._worker.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_going_on = False
        for waiting in (self._worker.descriptors.waiting, self.waiting):
            for acceptor in tuple(waiting):
                acceptor.resume()

    # --- room -------------------------------------------------------------------------------------------

    def close_oldest(self) -> bool:
        """Close the client that has been idle for longest: of this listener, or of any while descriptors are what lacks."""
        idle = self._idle
        now = monotonic()
        if not idle:
            if self._is_looked_through:
                return False
            idle = self._idle = self._oldest(now)
            self._is_looked_through = not idle
        while idle:
            since, _, client = idle.pop()
            if client.idle_since(now) == since and client.reclaim():
                self._row[counters.CLIENTS_RECLAIMED] += 1
                return True
        return False

    def _oldest(self, now: float) -> list[tuple[float, int, Drainable]]:
        descriptors = self._worker.descriptors
        is_any = descriptors.clients >= descriptors.most or bool(descriptors.waiting)
        found = (
            (since, id(client), client)
            for client in self._worker.connections
            if (is_any or client.clients is self) and (since := client.idle_since(now)) != NEVER
        )
        return heapq.nsmallest(SOME, found)[::-1]

    def look(self) -> None:
        """A wake-up: other workers want places, or have left some."""
        permits = self._limited.permits
        if permits is None:
            return
        permits.look()
        if permits.is_pressed and self.count >= self._limited.credit:
            self.close_oldest()
        self.go_on()

    def tick(self) -> None:
        """From time to time. Where a wake-up was lost, or a client has become idle since, those who wait go on now."""
        limited, row = self._limited, self._row
        self._is_looked_through = False
        self._idle.clear()
        if limited.slot:
            row[limited.block + counters.ACTIVE] = limited.load.active
        permits = limited.permits
        is_pressed = False
        if permits is not None:
            if self.waiting:
                permits.ask_again()
            permits.tick()
            is_pressed = permits.is_pressed
            over = min(limited.load.active - limited.limit, SOME) if limited.limit else 0
            if over > 0:  # the limit has fallen
                while over and self.close_oldest():
                    over -= 1
            elif is_pressed and limited.load.active >= limited.credit:
                self.close_oldest()
        if self.waiting or self._worker.descriptors.waiting:
            self.go_on()
        self.crowd(is_pressed)

    def crowd(self, is_pressed: bool = True) -> None:
        """While others want in, each reply is a client's last one: else those who came first would keep their places for as
        long as they ask."""
        is_crowded = is_pressed or bool(self.waiting) or bool(self._worker.descriptors.waiting)
        if is_crowded != self.is_crowded:
            self.is_crowded = is_crowded
            for acceptor in self.acceptors:
                acceptor.crowd(is_crowded)

    def close(self) -> None:
        """The listener is gone, and so is the last connection."""
        if self._limited.slot:
            self._row[self._limited.block + counters.ACTIVE] = 0
        if self._limited.permits is not None:
            self._limited.limit = 0
            self._limited.permits.close()
