"""How many backends a pool should have: shapes of load simulated (S40, S41), and what never happens whatever the load."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.autoscaling.decision import Action, Decision, Reading, Reason, Scaler
from balance.autoscaling.settings import AutoscalerConfig

CONFIG = AutoscalerConfig(
    enabled=True, min=2, max=10, target=20.0, interval_s=15.0, cooldown_s=120.0, window_s=300.0, step=1, driver="exec"
)
Shape = Callable[[float], float | None]


@dataclass
class Run:
    """A pool whose backends come at once, under a load that does not depend on them."""

    sizes: list[int]
    decisions: list[Decision]

    @property
    def moves(self) -> int:
        return sum(before != after for before, after in zip(self.sizes, self.sizes[1:], strict=False))


def run(shape: Shape, *, config: AutoscalerConfig = CONFIG, start: int = 2, intervals: int = 120) -> Run:
    scaler, size, sizes, decisions = Scaler(config), start, [start], []
    for turn in range(intervals):
        now = turn * config.interval_s
        decision = scaler.decide(Reading(shape(now), size, size), now)
        if decision.action is not Action.HOLD:
            size = decision.desired
            scaler.changed(now)
        sizes.append(size)
        decisions.append(decision)
    return Run(sizes, decisions)


def first(sizes: Sequence[int], size: int) -> int:
    return sizes.index(size)


def constant(value: float) -> Shape:
    return lambda now: value


SHAPES: list[tuple[str, Shape, int, int]] = [  # (name, load at a time, the size at the end, the most it ever was)
    ("step up", lambda now: 40.0 if now < 300 else 120.0, 6, 6),
    ("ramp", lambda now: 40.0 + now / 10, 10, 10),
    ("spike of one interval", lambda now: 200.0 if now == 600 else 40.0, 2, 3),
    ("spike of a minute", lambda now: 200.0 if 600 <= now < 660 else 40.0, 2, 6),
    ("sine of two minutes", lambda now: 100.0 + 60.0 * math.sin(now / 120 * 2 * math.pi), 8, 8),
    ("zero", constant(0.0), 2, 2),
    ("more than max", constant(1e9), 10, 10),
    ("flapping", lambda now: 100.0 if round(now / 15) % 2 else 40.0, 5, 5),
    ("a metric that goes away", lambda now: 120.0 if now < 300 else None, 6, 6),
    ("never a metric", lambda now: None, 2, 2),
    ("a metric that is no number", constant(math.nan), 2, 2),
    ("step down", lambda now: 120.0 if now < 300 else 10.0, 2, 6),
]


@pytest.mark.parametrize(("name", "shape", "end", "most"), SHAPES, ids=[name for name, *_ in SHAPES])
def test_a_shape_of_load_ends_at_its_size(name: str, shape: Shape, end: int, most: int) -> None:
    found = run(shape)
    assert (found.sizes[-1], max(found.sizes)) == (end, most)


def test_up_is_a_step_at_each_interval() -> None:
    assert run(constant(120.0), intervals=6).sizes == [2, 3, 4, 5, 6, 6, 6]
    assert run(constant(120.0), config=replace(CONFIG, step=3), intervals=4).sizes == [2, 5, 6, 6, 6]


def test_down_waits_for_the_window_and_then_for_the_cooldown_between_steps() -> None:
    found = run(lambda now: 120.0 if now < 300 else 10.0, start=6, intervals=200)
    steps = [index for index, (a, b) in enumerate(zip(found.sizes, found.sizes[1:], strict=False)) if b < a]
    assert steps[0] * 15 >= 285 + 300  # the last of the high load was at 285 s
    assert {(b - a) * 15 for a, b in pairwise(steps)} == {120}


def test_a_load_that_flaps_does_not_make_the_pool_flap() -> None:
    assert run(lambda now: 100.0 if round(now / 15) % 2 else 40.0).moves == 3
    assert run(lambda now: 100.0 + 60.0 * math.sin(now / 120 * 2 * math.pi), intervals=400).moves == 6


def test_a_restart_never_shrinks_before_a_whole_window_was_observed() -> None:
    """S41, knative/serving#2705: a new autoscaler knows nothing of the load before it."""
    found = run(constant(10.0), start=8, intervals=40)
    assert found.sizes[:21] == [8] * 21  # 300 s at 15 s
    assert found.decisions[5].reason is Reason.OBSERVING and "not yet for 300s" in found.decisions[5].why
    assert found.sizes[21] == 7


def test_a_restart_does_not_forget_the_cooldown() -> None:
    """S41: the last change is known from before, and is within the cooldown when the window is over."""
    config = replace(CONFIG, window_s=30.0)
    scaler = Scaler(config, changed_at=-10.0)
    decisions = [scaler.decide(Reading(10.0, 8, 8), now) for now in (0.0, 15.0, 30.0, 105.0, 110.0)]
    assert [each.reason for each in decisions[:3]] == [Reason.OBSERVING, Reason.OBSERVING, Reason.COOLDOWN]
    scaler = Scaler(config, changed_at=-10.0)
    decisions = [scaler.decide(Reading(10.0, 8, 8), now * 15.0) for now in range(9)]
    assert [each.action for each in decisions][-2:] == [Action.HOLD, Action.DOWN]


def test_a_metric_that_is_missing_holds_the_size_and_is_never_taken_for_zero() -> None:
    """S40, keda#1850: and when it comes back low, a spike may have been in the gap."""
    shape: Shape = lambda now: 120.0 if now < 900 else None if now < 1500 else 10.0  # noqa: E731
    found = run(shape, intervals=200)
    held = found.decisions[60:100]
    assert {each.reason for each in held} == {Reason.NO_METRIC} and {each.desired for each in held} == {6}
    assert first(found.sizes[100:], 5) * 15 >= 300


def test_one_missing_look_does_not_start_the_window_anew() -> None:
    found = run(lambda now: None if now == 150 else 10.0, start=8, intervals=40)
    assert first(found.sizes, 7) == 21


def test_a_part_that_is_missing_may_add_but_not_take_away() -> None:
    scaler = Scaler(replace(CONFIG, window_s=15.0))
    for now in (0.0, 15.0, 30.0):
        decision = scaler.decide(Reading(10.0, 8, 8, is_partial=True), now)
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.PARTIAL_METRIC)
    assert scaler.decide(Reading(400.0, 8, 8, is_partial=True), 45.0).action is Action.UP


@pytest.mark.parametrize(("current", "desired"), [(0, 2), (1, 2), (30, 10)])
def test_a_size_outside_the_bounds_is_brought_back_at_once_even_without_a_metric(current: int, desired: int) -> None:
    for value in (None, 10.0, 1e9):
        decision = Scaler(CONFIG).decide(Reading(value, current, current), 0.0)
        assert (decision.desired, decision.reason) == (desired, Reason.BOUNDS)


@pytest.mark.parametrize(
    ("value", "current", "recommended"),
    [
        (100.0, 5, 5),
        (109.0, 5, 5),  # within a tenth
        (111.0, 5, 6),
        (91.0, 5, 5),
        (81.0, 5, 5),  # 4.05 are needed
        (79.0, 5, 4),
        (60.000000000001, 2, 3),  # not 4
    ],
)
def test_the_tolerance_is_a_tenth_as_with_an_hpa(value: float, current: int, recommended: int) -> None:
    scaler = Scaler(replace(CONFIG, window_s=15.0, cooldown_s=1.0))
    scaler.decide(Reading(value, current, current), 0.0)
    assert scaler.decide(Reading(value, current, current), 15.0).recommended == recommended


def test_latency_is_a_ratio_over_those_that_serve() -> None:
    config = replace(CONFIG, metric="latency", target=100.0, step=10)
    assert Scaler(config).decide(Reading(150.0, 4, 4), 0.0).desired == 6
    assert Scaler(config).decide(Reading(105.0, 4, 4), 0.0).reason is Reason.ON_TARGET
    waiting = Scaler(config).decide(Reading(150.0, 6, 4), 0.0)  # two were started a moment ago: no more until they help
    assert (waiting.action, waiting.reason) == (Action.HOLD, Reason.ON_TARGET)
    waiting = Scaler(config).decide(Reading(400.0, 6, 4), 0.0)
    assert (waiting.action, waiting.reason) == (Action.HOLD, Reason.STARTING)


def test_at_the_bounds_it_says_so() -> None:
    assert Scaler(CONFIG).decide(Reading(900.0, 10, 10), 0.0).reason is Reason.AT_MAX
    assert Scaler(CONFIG).decide(Reading(0.0, 2, 2), 0.0).reason is Reason.AT_MIN


def test_another_measure_after_a_reload_is_observed_anew() -> None:
    scaler = Scaler(replace(CONFIG, window_s=15.0))
    for now in (0.0, 15.0, 30.0):
        scaler.decide(Reading(170.0, 8, 8), now)
    scaler.use(replace(CONFIG, window_s=15.0, metric="active"))
    assert scaler.decide(Reading(1.0, 8, 8), 45.0).reason is Reason.OBSERVING


VALUES = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(min_value=0, max_value=1e4))


@settings(max_examples=150)
@given(
    values=st.lists(st.tuples(VALUES, st.floats(min_value=0.1, max_value=400.0), st.booleans()), max_size=60),
    bounds=st.tuples(st.integers(1, 20), st.integers(0, 20)),
    step=st.integers(1, 5),
    start=st.integers(0, 50),
    metric=st.sampled_from(["requests", "active", "latency"]),
)
def test_whatever_the_load_the_rules_hold(
    values: list[tuple[float | None, float, bool]], bounds: tuple[int, int], step: int, start: int, metric: str
) -> None:
    low, high = bounds[0], bounds[0] + bounds[1]
    config = replace(CONFIG, min=low, max=high, step=step, metric=metric)
    scaler, size, now, changed_at, since = Scaler(config), start, 0.0, -math.inf, 0.0
    for value, passed_s, is_partial in values:
        now += passed_s
        decision = scaler.decide(Reading(value, size, size, is_partial), now)
        is_inside = low <= size <= high
        assert low <= decision.desired <= high and low <= decision.recommended <= high
        assert not is_inside or abs(decision.desired - size) <= step
        if is_inside and decision.action is Action.DOWN:
            assert not is_partial
            assert now - changed_at >= config.cooldown_s and now - since >= config.window_s
        if is_inside and (value is None or not math.isfinite(value) or value < 0):
            assert decision.desired == size
        assert decision.why and "\n" not in decision.why
        if decision.action is not Action.HOLD:
            size, changed_at = decision.desired, now
            scaler.changed(now)


def test_bounds_step_and_cooldown_are_the_configurations() -> None:
    config = replace(CONFIG, min=3, max=7, step=2, cooldown_s=60.0)
    found = run(lambda now: 1000.0 if now < 300 else 0.0, config=config, start=3, intervals=100)
    assert found.sizes[:4] == [3, 5, 7, 7] and min(found.sizes) == found.sizes[-1] == 3
    steps = [index for index, (a, b) in enumerate(pairwise(found.sizes)) if b < a]
    assert {(b - a) * 15 for a, b in pairwise(steps)} == {60}


def test_those_that_do_not_serve_yet_never_turn_up_into_down() -> None:
    """DataDog/watermarkpodautoscaler PR 121: 5 of 10 are ready and too slow by half; 8 would be fewer than there are."""
    config = replace(CONFIG, metric="latency", target=100.0, window_s=0.0, cooldown_s=0.0)
    scaler = Scaler(config)
    for now in (0.0, 15.0, 30.0):
        assert scaler.decide(Reading(150.0, 10, 5), now).desired == 10
    # And those that never become ready do not hold a pool that has too many (kubernetes#82285).
    assert scaler.decide(Reading(10.0, 10, 5), 45.0).desired == 9


def test_a_pool_with_nobody_ready_is_not_one_without_load() -> None:
    """kubernetes#64088: all were overloaded and failed their checks; nobody gets a request, and the load seems to be 0."""
    scaler = Scaler(replace(CONFIG, window_s=0.0, cooldown_s=0.0))
    for now in (0.0, 15.0, 600.0):
        decision = scaler.decide(Reading(0.0, 8, 0), now)
        assert (decision.action, decision.reason) == (Action.HOLD, Reason.NO_METRIC)
