"""The client connections of one listener in a worker: counts them, admits more, and closes the longest idle to make room.

The limits are `max_clients` and the file descriptors. `max_clients` is over all workers, including those that drain while their
successors serve: each connection has a permit, like the leases of a backend with a limit (runtime.max_connections). nginx, too,
closes its longest idle connections when worker_connections run short; HAProxy lets connections wait and closes none.
"""

from __future__ import annotations

import heapq
from time import monotonic
from typing import Final

from balance.load import Load
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.worker_context import Acceptance, Drainable, WorkerContext
from balance.runtime import counters
from balance.runtime.health_gate import Shared
from balance.runtime.max_connections import Limited, Permits

SOME: Final = 64  # idle clients that one search finds, and the most that one tick closes


class Clients:
    """Kept across snapshots as long as its listener is configured or has connections."""

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
        """`slot` is the listener's backend slot on the board; 0 is none, and then there is no limit."""
        self.name = name
        self.slot = slot
        self.acceptors: set[Acceptance] = set()
        self.waiting: list[Acceptance] = []  # wait until a client leaves
        self.is_crowded = False  # other clients wait for room: each reply closes its connection
        self._worker = worker
        self._row = worker.row.cells
        self._shared = shared
        self._limited = Limited(slot, Load(), 0)
        self._idle: list[tuple[float, int, Drainable]] = []  # found by the last search, the longest idle last
        self._is_looked_through = False  # a search in this tick found none
        self._is_going_on = False

    @property
    def listener_clients(self) -> Clients:
        """Itself; those of the listener, where something stands in for them."""
        return self

    @property
    def count(self) -> int:
        """Connections in this worker now."""
        return self._limited.load.active

    def configure(self, limit: int) -> None:
        """Set the most connections at once over all workers, 0 for no limit."""
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
        """Take a place for one more connection; False when there is none. Give it back by leave(), or withdraw() if unused."""
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
        """Give back an unused place. Waiters are not woken: nothing was freed, and they would wake each other in a loop."""
        limited = self._limited
        limited.load.active -= 1
        self._worker.descriptors.clients -= 1
        permits = limited.permits
        if permits is not None and permits.is_pressed:
            permits.settle()  # other workers want the permit that was taken

    def leave(self) -> None:
        """A connection has ended. Its descriptor is closed at the end of this turn of the loop."""
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
        """There may be room: resume the waiting acceptors at the next turn of the loop."""
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
        """Close the longest idle client, of this listener or, while descriptors are short, of any. False when none is idle."""
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
            if (is_any or self._has(client)) and (since := client.idle_since(now)) != NEVER
        )
        return heapq.nsmallest(SOME, found)[::-1]

    def _has(self, client: Drainable) -> bool:
        clients = client.clients
        return isinstance(clients, Clients) and clients.listener_clients is self

    def look(self) -> None:
        """On a wakeup: other workers want permits for clients, or have given some back."""
        permits = self._limited.permits
        if permits is None:
            return
        permits.look()
        if permits.is_pressed and self.count >= self._limited.credit:
            self.close_oldest()
        self.go_on()

    def tick(self) -> None:
        """Called by a timer: write the gauge, enforce a lowered limit, and resume waiters that missed a wakeup."""
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
            if over > 0:  # the limit was lowered
                while over and self.close_oldest():
                    over -= 1
            elif is_pressed and limited.load.active >= limited.credit:
                self.close_oldest()
        if self.waiting or self._worker.descriptors.waiting:
            self.go_on()
        self.crowd(is_pressed)

    def crowd(self, is_pressed: bool = True) -> None:
        """While other clients wait for room, each reply closes its connection; else busy clients would keep their places."""
        is_crowded = is_pressed or bool(self.waiting) or bool(self._worker.descriptors.waiting)
        if is_crowded != self.is_crowded:
            self.is_crowded = is_crowded
            for acceptor in self.acceptors:
                acceptor.crowd(is_crowded)

    def close(self) -> None:
        """Clear the gauge and give back the permits: the listener was removed and its last connection has ended."""
        if self._limited.slot:
            self._row[self._limited.block + counters.ACTIVE] = 0
        if self._limited.permits is not None:
            self._limited.limit = 0
            self._limited.permits.close()
