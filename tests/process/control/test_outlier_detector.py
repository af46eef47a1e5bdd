"""Control looks at traffic: workers that fail on a real board, a real loop, and the states that follow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from child_contexts import context, eventually

from balance.admin.state_view import BackendView
from balance.config.model import CircuitBreaker, HealthCheck, PassiveChecks
from balance.health.circuit_breaker import PEAK_FAILURES, STATE, BreakerState
from balance.health.states import Event, State
from balance.model import Outcome
from balance.process.children.child_context import ChildContext, new_event_loop
from balance.process.control.health_registry import HealthRegistry
from balance.process.control.outlier_detector import OutlierDetector
from balance.process.ipc.wakeup import WakeupReason
from balance.process.shared_memory.board import Ejection
from balance.runtime import counters
from balance.runtime.health_gate import HealthGate, Shared

PASSIVE = PassiveChecks(enabled=True, consecutive_failures=3, ejection_time_s=0.1, window_s=1.0)
PATIENCE_S = 10.0


class FakeSupervisor:
    """Control with its inspector, and workers as far as they are evidence."""

    def __init__(self, backends: int = 2, **pool: Any) -> None:
        self.context = context(backends, **pool)
        self.config = self.context.config.pools[0]

    def guard(self, worker: int, slot: int) -> HealthGate:
        board, wakeup = self.context.board, self.context.wakeups[worker]
        shared = Shared(
            board.rows, board.evidence, self.context.locks, failed=lambda: wakeup.wake_control(WakeupReason.FAILURES)
        )
        return HealthGate(self.config.breaker, slot, board.rows[worker], shared)

    def send(self, worker: int, slot: int, outcome: Outcome, count: int = 1) -> None:
        """So many requests that end so."""
        guard = self.guard(worker, slot)
        for _ in range(count):
            self.context.board.rows[worker][counters.block(slot) + counters.LEASES] += 1
            guard.ended(object(), outcome, True, asyncio.get_running_loop().time())

    def try_out(self, worker: int, slot: int, outcome: Outcome) -> None:
        """The request that finds out."""
        guard, lease = self.guard(worker, slot), object()
        trial = guard.admit(True, 0.0)
        assert trial
        guard.begin_trial(lease, trial)
        guard.ended(lease, outcome, True, 0.0)

    def state(self, slot: int) -> State:
        return self.context.board.state(slot)[0]

    async def looked_at(self) -> None:
        """Until there was another look; the last backend is ejected by it."""
        self.send(0, len(self.config.backends), Outcome.FAILED, 10)
        await eventually(lambda: self.state(len(self.config.backends)) is State.EJECTED)

    def play(self, act: Callable[[FakeSupervisor], Any]) -> None:
        """Run `act`, a coroutine function, while the inspector looks."""

        async def stage() -> None:
            loop = asyncio.get_running_loop()
            seen = [
                BackendView(self.config, backend, n, *self.context.board.state(n))
                for n, backend in enumerate(self.config.backends, 1)
            ]
            self.health_registry = HealthRegistry(self.context, seen)
            self.outlier_detector = OutlierDetector(loop, self.context, self.health_registry)
            self.outlier_detector.start()
            async with asyncio.timeout(PATIENCE_S):
                await act(self)

        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(stage())


def passive(checks: PassiveChecks = PASSIVE) -> HealthCheck:
    return HealthCheck(kind="http", passive=checks)


def test_failures_in_a_row_over_all_workers_eject_and_a_good_request_brings_back() -> None:
    async def act(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 2)
        scene.send(1, 1, Outcome.FAILED)
        await eventually(lambda: scene.state(1) is State.EJECTED)
        assert scene.context.board.reason(1) == "3 failures in a row; it is left alone for 0.1s"
        assert scene.context.board.ejection(1).total == 1
        await eventually(lambda: scene.state(1) is State.RETURNING)
        scene.try_out(1, 1, Outcome.OK)
        await eventually(lambda: scene.state(1) is State.HEALTHY)

    FakeSupervisor(health_check=passive()).play(act)


def test_an_ejection_that_another_instance_has_lengthened_ends_too_once_that_one_is_gone() -> None:
    async def act(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 3)
        await eventually(lambda: scene.state(1) is State.EJECTED)
        times, until_us, total = scene.context.board.ejection(1)
        scene.context.board.set_ejection(1, Ejection(times + 1, until_us + 100_000, total + 1))
        scene.outlier_detector.schedule_unejects()
        await eventually(lambda: scene.state(1) is State.RETURNING)

    FakeSupervisor(health_check=passive()).play(act)


def test_a_bad_trial_ejects_for_longer() -> None:
    async def act(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 3)
        await eventually(lambda: scene.state(1) is State.RETURNING)
        scene.try_out(0, 1, Outcome.FAILED)
        await eventually(lambda: scene.state(1) is State.EJECTED)
        assert scene.context.board.reason(1) == "the request that tried it failed; it is left alone for 0.2s"
        assert scene.context.board.ejection(1)[0] == 2

    FakeSupervisor(health_check=passive()).play(act)


def test_a_bad_trial_does_not_speak_against_a_backend_that_a_good_one_has_brought_back() -> None:
    async def act(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 3)
        for outcome, after in ((Outcome.FAILED, State.EJECTED), (Outcome.OK, State.HEALTHY)):
            await eventually(lambda: scene.state(1) is State.RETURNING)
            scene.try_out(0, 1, outcome)
            await eventually(lambda after=after: scene.state(1) is after)
        await scene.looked_at()
        assert scene.state(1) is State.HEALTHY

    FakeSupervisor(health_check=passive()).play(act)


@pytest.mark.parametrize("back", ["by a trial", "by probes"])
def test_requests_that_were_under_way_when_it_was_ejected_do_not_speak_against_it_when_it_is_back(back: str) -> None:
    async def act(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 3)
        await eventually(lambda: scene.state(1) is State.EJECTED)
        scene.send(1, 1, Outcome.FAILED, 12)
        await eventually(lambda: not scene.context.board.evidence(1)[PEAK_FAILURES])
        if back == "by probes":
            for _ in range(2):
                scene.health_registry.apply_event(1, Event.PASS, "status 200")
        else:
            await eventually(lambda: scene.state(1) is State.RETURNING)
            scene.try_out(1, 1, Outcome.OK)
        await eventually(lambda: scene.state(1) is State.HEALTHY)
        scene.send(0, 1, Outcome.OK)
        scene.send(0, 1, Outcome.FAILED)
        await scene.looked_at()
        assert scene.state(1) is State.HEALTHY

    FakeSupervisor(3, health_check=passive()).play(act)


def test_a_share_of_failures_ejects_where_enough_was_sent() -> None:
    async def act(scene: FakeSupervisor) -> None:
        for _ in range(5):
            scene.send(0, 1, Outcome.OK)
            scene.send(1, 1, Outcome.FAILED)
        await eventually(lambda: scene.state(1) is State.EJECTED)
        assert scene.context.board.reason(1).startswith("5 of 10 requests failed within 1s")

    FakeSupervisor(health_check=passive()).play(act)


def test_what_clients_break_off_is_no_evidence() -> None:
    async def act(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.ABORTED, 50)
        scene.send(0, 2, Outcome.FAILED, 3)
        await eventually(lambda: scene.state(2) is State.EJECTED)
        assert scene.state(1) is State.UNKNOWN

    FakeSupervisor(health_check=passive()).play(act)


def test_never_more_than_the_percentage_is_ejected_however_bad_all_are() -> None:
    async def act(scene: FakeSupervisor) -> None:
        for slot in range(1, 5):
            scene.send(0, slot, Outcome.FAILED, 3)
        await eventually(lambda: sum(scene.state(slot) is State.EJECTED for slot in range(1, 5)) == 2)
        for slot in range(1, 5):
            scene.send(1, slot, Outcome.FAILED, 3)
        await asyncio.sleep(0.07)  # a look and a half
        out = [scene.state(slot) for slot in range(1, 5)]
        assert sum(state in (State.EJECTED, State.RETURNING) for state in out) == 2

    FakeSupervisor(4, health_check=passive(PassiveChecks(enabled=True, consecutive_failures=3))).play(act)


def test_half_of_twenty_requests_failing_opens_the_breaker_and_rings_the_workers() -> None:
    async def act(scene: FakeSupervisor) -> None:
        for _ in range(10):
            scene.send(0, 1, Outcome.OK)
            scene.send(1, 1, Outcome.FAILED)
        await eventually(lambda: scene.context.board.evidence(1)[STATE] == BreakerState.OPEN)
        assert [wakeup.received_by_worker() for wakeup in scene.context.wakeups] == [{WakeupReason.BACKEND_STATES}] * 2

    FakeSupervisor(breaker=CircuitBreaker(enabled=True, failure_threshold=1000)).play(act)


def test_nineteen_are_too_few_to_open_it() -> None:
    async def act(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 19)
        scene.send(0, 2, Outcome.FAILED, 20)
        await eventually(lambda: scene.context.board.evidence(2)[STATE] == BreakerState.OPEN)
        assert scene.context.board.evidence(1)[STATE] == BreakerState.CLOSED

    FakeSupervisor(breaker=CircuitBreaker(enabled=True, failure_threshold=1000)).play(act)


def test_a_successor_of_control_lets_the_ejected_return_in_time() -> None:
    async def eject(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 3)
        await eventually(lambda: scene.state(1) is State.EJECTED)

    async def wait(scene: FakeSupervisor) -> None:
        await eventually(lambda: scene.state(1) is State.RETURNING)

    scene = FakeSupervisor(health_check=passive())
    scene.play(eject)
    scene.play(wait)


def test_a_successor_of_control_takes_the_one_back_whose_trial_goes_well_without_waiting_for_the_next_sample() -> None:
    async def until_tried(scene: FakeSupervisor) -> None:
        scene.send(0, 1, Outcome.FAILED, 3)
        await eventually(lambda: scene.state(1) is State.RETURNING)

    async def try_it(scene: FakeSupervisor) -> None:
        scene.try_out(0, 1, Outcome.OK)
        await eventually(lambda: scene.state(1) is State.HEALTHY)

    scene = FakeSupervisor(health_check=passive(replace(PASSIVE, window_s=1000.0)))
    scene.play(until_tried)
    scene.play(try_it)


def test_where_nothing_is_asked_for_nothing_is_looked_at() -> None:
    child_context: ChildContext = context()
    loop = new_event_loop()
    OutlierDetector(loop, child_context, HealthRegistry(child_context, [])).start()
    assert not loop.remove_reader(child_context.wakeups[0].control_end)
    loop.close()
