"""Who gets in where only so many may: `max_clients`, over several workers, and who makes room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from balance.proxy.clients import Clients
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters
from balance.runtime.health_gate import NoLocks, Shared
from balance.runtime.row import Row

SLOT = 1


class Client:
    """One that is idle since a moment, or busy."""

    def __init__(self, clients: Clients, since: float) -> None:
        self.clients = clients
        self.since = since
        self.is_closed = False

    def idle_since(self, now: float) -> float:
        return self.since

    def reclaim(self) -> bool:
        self.is_closed = True
        self.since = NEVER
        return True


class Socket:
    """A listening socket whose callers wait."""

    def __init__(self) -> None:
        self.resumed = 0
        self.crowded: list[bool] = []

    def resume(self) -> None:
        self.resumed += 1

    def crowd(self, is_crowded: bool) -> None:
        self.crowded.append(is_crowded)


class Workers:
    """The same listener in so many workers, whose bells ring at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int, limit: int) -> None:
        self.rows = [memoryview(bytearray(8 * counters.row_cells(4))).cast("Q") for _ in range(count)]
        self.services = []
        self.clients: list[Clients] = []
        for number, row in enumerate(self.rows):
            row[counters.PLACE] = number + 1
            shared = Shared(self.rows, lambda slot: [0] * 16, NoLocks(), ring_where=self._ringer(number))
            worker = WorkerContext(loop, Row(row), 0.0, None)
            clients = Clients(worker, "main", SLOT, shared)
            clients.configure(limit)
            self.services.append(worker)
            self.clients.append(clients)

    def _ringer(self, own: int) -> Any:
        def ring(cell: int) -> None:
            for number, row in enumerate(self.rows):
                if number != own and row[cell]:
                    self.clients[number].look()

        return ring

    def add(self, worker: int, since: float) -> Client:
        client = Client(self.clients[worker], since)
        self.services[worker].connections.add(client)  # type: ignore[arg-type]
        return client


@pytest.fixture
def loop() -> Any:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_never_more_than_the_limit_come_in_over_all_workers(loop: asyncio.AbstractEventLoop, count: int) -> None:
    workers = Workers(loop, count, 10)
    entered = 0
    for _ in range(12):
        for clients in workers.clients:
            entered += clients.may_enter()
    assert entered == 10
    for clients in workers.clients:
        while clients.count:
            clients.leave()
    assert all(clients.may_enter() for clients in workers.clients)


def test_without_a_limit_only_descriptors_are_asked(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 2, 0)
    workers.services[0].descriptors.most = 3
    assert [workers.clients[0].may_enter() for _ in range(4)] == [True, True, True, False]
    assert workers.clients[1].may_enter()
    assert workers.clients[0].count == 3


def test_whoever_did_not_come_leaves_no_trace_and_wakes_nobody(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 1, 1)
    clients, socket = workers.clients[0], Socket()
    clients.waiting.append(socket)
    for _ in range(3):
        assert clients.may_enter()
        clients.withdraw()
    turn(loop)
    assert (clients.count, workers.services[0].descriptors.clients, socket.resumed) == (0, 0, 0)


def test_who_waits_goes_on_when_one_leaves(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 1, 1)
    clients, socket = workers.clients[0], Socket()
    assert clients.may_enter()
    clients.waiting.append(socket)
    assert not clients.may_enter()
    clients.leave()
    turn(loop)
    assert socket.resumed == 1


def test_who_waits_in_one_worker_goes_on_when_one_leaves_another(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 2, 1)
    socket = Socket()
    assert workers.clients[0].may_enter()
    assert not workers.clients[1].may_enter()
    workers.clients[1].waiting.append(socket)
    workers.clients[0].leave()
    turn(loop)
    assert socket.resumed >= 1
    assert workers.clients[1].may_enter()


def test_the_client_that_has_been_idle_for_longest_makes_room(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 1, 3)
    young, old, busy = (workers.add(0, since) for since in (20.0, 10.0, NEVER))
    clients = workers.clients[0]
    assert clients.close_oldest()
    assert (young.is_closed, old.is_closed) == (False, True)
    assert clients.close_oldest()
    assert young.is_closed
    assert not clients.close_oldest()
    assert not busy.is_closed
    assert workers.rows[0][counters.CLIENTS_RECLAIMED] == 2


def test_one_that_was_busy_since_it_was_looked_for_stays(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 1, 3)
    first, second, third = (workers.add(0, since) for since in (10.0, 20.0, 30.0))
    assert workers.clients[0].close_oldest()
    second.since = 50.0
    assert workers.clients[0].close_oldest()
    assert (first.is_closed, second.is_closed, third.is_closed) == (True, False, True)


def test_another_listener_s_clients_stay_unless_descriptors_are_short(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 1, 1)
    worker, clients = workers.services[0], workers.clients[0]
    other = Client(Clients(worker, "other", 2, Shared.with_nobody(workers.rows[0])), 10.0)
    worker.connections.add(other)  # type: ignore[arg-type]
    assert not clients.close_oldest()
    clients.tick()
    worker.descriptors.most = 0
    assert clients.close_oldest()
    assert other.is_closed


def test_an_idle_client_of_another_worker_makes_room(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 2, 2)
    idle = workers.add(0, 10.0)
    assert workers.clients[0].may_enter()
    assert workers.clients[0].may_enter()
    assert not workers.clients[1].may_enter()
    assert idle.is_closed


def test_while_others_want_in_replies_are_the_last_ones(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 2, 2)
    sockets = [Socket(), Socket()]
    for clients, socket in zip(workers.clients, sockets, strict=True):
        clients.acceptors.add(socket)
    assert workers.clients[0].may_enter()
    assert workers.clients[0].may_enter()
    assert not workers.clients[1].may_enter()
    workers.clients[1].waiting.append(sockets[1])
    for clients in workers.clients:
        clients.tick()
    assert [socket.crowded for socket in sockets] == [[True], [True]]
    workers.clients[1].waiting.clear()
    for _ in range(2):
        for clients in workers.clients:
            clients.tick()
    assert [socket.crowded for socket in sockets] == [[True, False], [True, False]]


def test_a_limit_that_falls_closes_idle_clients_and_one_that_rises_lets_in(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 1, 0)
    clients = workers.clients[0]
    idle = [workers.add(0, float(since)) for since in range(5)]
    for _ in idle:
        assert clients.may_enter()
    clients.configure(2)
    assert [client.is_closed for client in idle] == [True, True, True, False, False]
    for _ in range(3):
        clients.leave()
    assert not clients.may_enter()
    clients.configure(3)
    assert clients.may_enter()
    clients.configure(0)
    assert all(clients.may_enter() for _ in range(10))


def test_a_listener_that_is_gone_holds_nothing_on_the_board(loop: asyncio.AbstractEventLoop) -> None:
    workers = Workers(loop, 1, 2)
    clients = workers.clients[0]
    assert clients.may_enter()
    clients.tick()
    assert workers.rows[0][counters.block(SLOT) + counters.ACTIVE] == 1
    clients.leave()
    clients.close()
    assert not any(workers.rows[0][counters.block(SLOT) + cell] for cell in counters.BLOCK_GAUGES)
