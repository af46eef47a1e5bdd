"""What a worker knows: the board is applied to its pools when a bell rings or a breaker's time is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from child_contexts import context, eventually

from balance.config.model import CircuitBreaker, HealthCheck, LoggingConfig
from balance.health.circuit_breaker import STATE, BreakerState
from balance.health.states import State
from balance.model import Outcome
from balance.process.children.child_context import ChildContext, new_event_loop
from balance.process.ipc.wakeup import WakeupReason
from balance.process.worker.health_view import HealthView
from balance.proxy.listener_server import ListenerServer
from balance.runtime import counters
from balance.runtime.pool import Pool
from balance.runtime.row import Row
from balance.runtime.snapshot import build, prepare

BREAKER = CircuitBreaker(enabled=True, failure_threshold=2, success_threshold=1, timeout_s=0.1)


class Worker:
    """One worker's outlook, over a board that others share."""

    def __init__(self, child_context: ChildContext, slot: int) -> None:
        loop = asyncio.get_running_loop()
        self.row = row = Row(child_context.board.rows[slot])
        self.health_view = HealthView(loop, child_context, slot)
        snapshot = build(child_context.config, child_context.slots, row, random.random, self.health_view.shared)
        self.listener_server = ListenerServer(loop, snapshot, row, LoggingConfig())
        self.health_view.begin(snapshot, self.listener_server)
        self.pool: Pool = snapshot.pools["web"]
        wakeup = child_context.wakeups[slot]

        def on_wakeup() -> None:
            wakeup.received_by_worker()
            self.health_view.refresh()

        loop.add_reader(wakeup.worker_end, on_wakeup)

    async def change_over(self, child_context: ChildContext) -> None:
        """To another configuration of the same instance."""
        shared, before = self.health_view.shared, self.listener_server.snapshot
        snapshot, renewals = prepare(child_context.config, child_context.slots, self.row, random.random, shared, before)
        for _ in self.health_view.prime(snapshot, [renewal.pool for renewal in renewals]):
            pass
        await self.listener_server.swap(snapshot, renewals, [])
        self.health_view.swap_done()
        self.pool = snapshot.pools["web"]

    @property
    def ready(self) -> list[str]:
        return [backend.name for backend in self.pool.ready]

    def send(self, name: str, outcome: Outcome) -> None:
        """A request to that backend."""
        others = [backend for backend in self.pool.backends if backend.name != name]
        now = monotonic()
        lease = self.pool.acquire(b"", now, others)
        assert lease is not None
        lease.release(outcome, now)


def play(act: Callable[[], Any]) -> None:
    async def stage() -> None:
        async with asyncio.timeout(10):
            await act()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(stage())


@pytest.mark.parametrize("pool", [{}, {"breaker": BREAKER}], ids=["plain", "guarded"])
def test_a_state_is_applied_at_the_start_and_on_a_wakeup(pool: dict[str, Any]) -> None:
    async def act() -> None:
        child_context = context(3, **pool)
        child_context.board.set_state(1, State.UNHEALTHY, 0.0)
        worker = Worker(child_context, 0)
        assert worker.ready == ["b2", "b3"]
        child_context.board.set_state(1, State.HEALTHY, 0.0)
        child_context.board.set_state(3, State.DRAINING, 0.0)
        child_context.wakeups[0].wake_worker(WakeupReason.BACKEND_STATES)
        await eventually(lambda: worker.ready == ["b1", "b2"])

    play(act)


def test_a_breaker_opened_by_one_worker_is_open_in_all() -> None:
    async def act() -> None:
        child_context = context(2, workers=4, breaker=CircuitBreaker(enabled=True, failure_threshold=4))
        workers = [Worker(child_context, slot) for slot in range(4)]
        for worker in workers:
            worker.send("b1", Outcome.FAILED)
        await eventually(lambda: all(worker.ready == ["b2"] for worker in workers))

    play(act)


def test_when_its_time_is_over_every_worker_may_try_and_one_does() -> None:
    async def act() -> None:
        child_context = context(2, workers=3, breaker=BREAKER)
        workers = [Worker(child_context, slot) for slot in range(3)]
        workers[0].send("b1", Outcome.FAILED)
        workers[1].send("b1", Outcome.FAILED)
        await eventually(lambda: all(worker.ready == ["b2"] for worker in workers))
        await eventually(lambda: all(worker.ready == ["b1", "b2"] for worker in workers))
        assert child_context.board.evidence(1)[STATE] == BreakerState.OPEN  # until somebody tries
        now = monotonic()
        others = [worker.pool.backends[1] for worker in workers]
        leases = [worker.pool.acquire(b"", now, [other]) for worker, other in zip(workers, others, strict=True)]
        assert [lease is not None for lease in leases] == [True, False, False]
        assert leases[0] is not None
        leases[0].release(Outcome.OK, now)
        await eventually(lambda: all(worker.pool.backends[0].phase is BreakerState.CLOSED for worker in workers))

    play(act)


def test_a_restarted_worker_finds_the_breaker_open() -> None:
    async def act() -> None:
        child_context = context(2, breaker=CircuitBreaker(enabled=True, failure_threshold=2))
        first = Worker(child_context, 0)
        first.send("b1", Outcome.FAILED)
        first.send("b1", Outcome.FAILED)
        assert Worker(child_context, 1).ready == ["b2"]

    play(act)


def test_failures_wake_control_at_a_bounded_rate() -> None:
    async def act() -> None:
        child_context = context(2, health_check=HealthCheck(slow_start_s=1.0))
        worker = Worker(child_context, 0)
        for _ in range(500):
            worker.send("b1", Outcome.FAILED)
        child_context.wakeups[0].control_end.setblocking(False)
        packets = 0
        for _ in range(2):
            try:
                while child_context.wakeups[0].control_end.recv(64):
                    packets += 1
            except BlockingIOError:
                await asyncio.sleep(0.05)
        assert 1 <= packets <= 2

    play(act)


def sockets_change(child_context: ChildContext, **pool: Any) -> ChildContext:
    """The same instance after a reload that changed something of its pool."""
    before = child_context.generation
    config = replace(before.config, pools=(replace(before.config.pools[0], **pool),))
    return replace(child_context, history=(before, replace(before, number=2, config=config)))


def test_a_pool_whose_breakers_a_reload_takes_out_uses_all_of_its_backends() -> None:
    async def act() -> None:
        child_context = context(2, breaker=CircuitBreaker(enabled=True, failure_threshold=1))
        worker = Worker(child_context, 0)
        worker.send("b1", Outcome.FAILED)
        await eventually(lambda: worker.ready == ["b2"])
        worker.pool.backends[0].load.handicap = 2.0  # as while it is tried
        await worker.change_over(sockets_change(child_context, breaker=CircuitBreaker()))
        assert worker.ready == ["b1", "b2"]
        assert worker.pool.backends[0].load.handicap == 1.0
        await worker.change_over(child_context)
        assert worker.ready == ["b2"]  # and remembers what it knew when they come back

    play(act)


def test_states_are_applied_to_the_pools_of_a_reload_before_they_are_chosen_from() -> None:
    async def act() -> None:
        child_context = context(3)
        worker = Worker(child_context, 0)
        child_context.board.set_state(2, State.UNHEALTHY, 0.0)
        await worker.change_over(sockets_change(child_context, breaker=BREAKER))  # nobody has rung yet
        assert worker.ready == ["b1", "b3"]
        child_context.board.set_state(3, State.DRAINING, 0.0)
        await worker.change_over(sockets_change(child_context, algorithm="least-connections"))
        assert worker.ready == ["b1"]
        child_context.board.set_state(2, State.HEALTHY, 0.0)
        child_context.wakeups[0].wake_worker(WakeupReason.BACKEND_STATES)
        await eventually(lambda: worker.ready == ["b1", "b2"])

    play(act)


def test_changes_without_a_wakeup_are_applied_before_the_gauges_are_written() -> None:
    async def act() -> None:
        child_context = context(backends=20)  # more than one tick writes
        worker = Worker(child_context, 0)
        worker.listener_server.catch_up = worker.health_view.refresh_if_changed
        await worker.listener_server.open([])
        child_context.board.set_state(20, State.DRAINING, 1.0)
        ordered_us = child_context.board.states_changed_us
        row = child_context.board.rows[0]
        assert row[counters.APPLIED_US] < ordered_us
        await eventually(lambda: row[counters.APPLIED_US] >= ordered_us)
        assert "b20" not in worker.ready

    play(act)
