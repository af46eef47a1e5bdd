"""One pool's autoscaler over drivers and stores that fail: what it does, what it says, and when it does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from balance.admin.events.history import EventLog
from balance.autoscaling.leadership import State, Turn
from balance.autoscaling.load_meter import Counters, Load
from balance.autoscaling.settings import AutoscalerConfig
from balance.config.model import PoolConfig
from balance.process.control.autoscaling.coordination import Coordination
from balance.process.control.autoscaling.driver import Change, Driver, DriverError
from balance.process.control.autoscaling.pool_autoscaler import PoolAutoscaler, Size

CONFIG = AutoscalerConfig(
    enabled=True, driver="exec", command=("x",), min=1, max=9, target=10.0, interval_s=0.02, window_s=0.0, cooldown_s=0.0
)
BUSY = Load(40.0, 0.0, 0.0, 0.0)


class FakeDriver(Driver):
    def __init__(self, current: int | None = None) -> None:
        self.size = current
        self.changes: list[Change] = []
        self.fails = ""
        self.tokens: list[int] = []

    async def current(self, token: int) -> int | None:
        self.tokens.append(token)
        return self.size

    async def scale(self, change: Change) -> None:
        self.changes.append(change)
        if self.fails:
            raise DriverError(self.fails)


class FakeStore(Coordination):
    def __init__(self, load: Load | None = BUSY, token: int = 5) -> None:
        self.turn = Turn(token, "this one", State(), load)
        self.writes: list[State] = []
        self.takes = True

    async def sync(self, load: Load | None, interval_s: float) -> Turn:
        return self.turn

    async def write(self, turn: Turn, state: State) -> bool:
        self.writes.append(state)
        if self.takes:
            self.turn = replace(self.turn, state=state)
        return self.takes


def run(
    driver: FakeDriver,
    store: FakeStore,
    until: Callable[[PoolAutoscaler], bool],
    config: AutoscalerConfig = CONFIG,
    members: int = 2,
) -> tuple[PoolAutoscaler, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    log = EventLog()

    async def serve() -> PoolAutoscaler:
        loop = asyncio.get_running_loop()
        pool = PoolConfig("web", (), autoscaler=config)
        scaler = PoolAutoscaler(
            loop, pool, driver, store, lambda: {1: Counters(0, 0, 0, 0)}, lambda: Size(members, members),
            log,
        )  # fmt: skip
        scaler.start()
        async with asyncio.timeout(10):
            while not until(scaler):  # noqa: ASYNC110 (it is asked from without)
                await asyncio.sleep(0.005)
        scaler.stop()
        events.extend({"kind": each.kind, "text": each.text, **each.fields} for each in log.since(0))
        return scaler

    return asyncio.run(serve()), events


def test_a_change_is_noted_before_it_is_done_and_afterwards() -> None:
    driver, store = FakeDriver(), FakeStore()
    scaler, events = run(driver, store, lambda scaler: len(driver.changes) >= 2)
    assert [(each.current, each.desired, each.token) for each in driver.changes[:2]] == [(2, 3, 5), (3, 4, 5)]
    assert [(each.desired, each.is_done) for each in store.writes[:4]] == [(3, False), (3, True), (4, False), (4, True)]
    assert scaler.decisions["up"] >= 2 and scaler.view.leads
    assert events[0] == {
        "kind": "autoscaler", "text": events[0]["text"], "pool": "web", "action": "up", "current": 2, "desired": 3,
        "reason": "load",
    }  # fmt: skip


def test_who_does_not_lead_measures_and_does_nothing() -> None:
    driver, store = FakeDriver(), FakeStore(token=0)
    scaler, _ = run(driver, store, lambda scaler: len(driver.tokens) > 3)
    assert not driver.changes and not store.writes and set(driver.tokens) == {0}
    assert scaler.view.decision is not None and scaler.view.decision.desired == 3  # what it would do
    assert not scaler.decisions


def test_a_note_that_is_refused_changes_nothing() -> None:
    """The lead has passed on between the look and the act."""
    driver, store = FakeDriver(), FakeStore()
    store.takes = False
    scaler, _ = run(driver, store, lambda scaler: scaler.errors["fenced"] > 1)
    assert not driver.changes and scaler.view.state == "held"


def test_a_store_that_is_gone_holds_the_size_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """S40: nobody leads while Redis can't be asked."""
    driver, store = FakeDriver(), FakeStore(load=None, token=0)
    store.turn = replace(store.turn, failure="it does not answer in time")
    scaler, events = run(driver, store, lambda scaler: scaler.errors["store"] > 2)
    assert not driver.changes
    assert "Redis can't be used" in scaler.view.problem
    assert caplog.text.count("its size is held") == 1 and len(events) == 1


def test_a_metric_that_is_missing_holds_the_size() -> None:
    """S40, keda#965."""
    driver, store = FakeDriver(5), FakeStore(load=None)
    scaler, _ = run(driver, store, lambda scaler: scaler.decisions["hold"] > 2)
    assert not driver.changes
    assert scaler.view.decision is not None and scaler.view.decision.reason == "no_metric"


def test_a_driver_that_fails_is_told_again_and_the_cooldown_does_not_begin() -> None:
    driver, store = FakeDriver(), FakeStore()
    driver.fails = "no such group"
    scaler, _ = run(driver, store, lambda scaler: len(driver.changes) >= 3)
    assert {each.desired for each in driver.changes} == {3}  # no climbing without anybody who hears it
    assert scaler.errors["driver"] >= 2 and scaler.view.problem == "no such group"


def test_a_change_that_nobody_knows_to_be_done_is_told_again_by_the_next_leader() -> None:
    driver, store = FakeDriver(), FakeStore(load=Load(30.0, 0, 0, 0))
    store.turn = replace(store.turn, state=State(3, 4, 1.0, is_done=False))
    run(driver, store, lambda scaler: bool(driver.changes) and store.turn.state.is_done)
    assert [(each.desired, each.token) for each in driver.changes] == [(3, 5)]


def test_a_dry_run_says_what_it_would_do_and_touches_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    driver, store = FakeDriver(), FakeStore()
    scaler, events = run(driver, store, lambda scaler: scaler.decisions["up"] > 3, replace(CONFIG, dry_run=True))
    assert not driver.changes and not store.writes and set(driver.tokens) == {0}
    assert caplog.text.count("(dry run): would go from 2 to 3") == 1 and len(events) == 1
    assert scaler.view.state == "dry_run"


def test_a_driver_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.process.control.autoscaling.pool_autoscaler.MARGIN_S", 0.0)

    class Hanging(FakeDriver):
        async def scale(self, change: Change) -> None:
            self.changes.append(change)
            await asyncio.sleep(60)

    driver, store = Hanging(), FakeStore()
    scaler, _ = run(driver, store, lambda scaler: scaler.errors["driver"] > 0, replace(CONFIG, timeout_s=0.05))
    assert "no end within" in scaler.view.problem


def test_a_bug_holds_the_size_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeDriver):
        async def current(self, token: int) -> int | None:
            raise ZeroDivisionError

    driver, store = Broken(), FakeStore()
    run(driver, store, lambda scaler: scaler.errors["internal"] > 2)
    assert not driver.changes
