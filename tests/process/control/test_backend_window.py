"""One backend's counters, look by look."""

from dataclasses import replace

from child_contexts import context

from balance.admin.state_view import BackendView
from balance.config.model import CircuitBreaker, HealthCheck, PassiveChecks
from balance.health.window import Volume
from balance.process.children.child_context import ChildContext
from balance.process.control.backend_window import BackendWindow
from balance.runtime import counters


def backend_window(**pool: object) -> tuple[BackendWindow, ChildContext]:
    child_context = context(1, **pool)
    (config,) = child_context.config.pools
    return BackendWindow(
        BackendView(config, config.backends[0], 1, *child_context.board.state(1)), child_context.board
    ), child_context


GUARDED = {"breaker": CircuitBreaker(enabled=True), "health_check": HealthCheck(passive=PassiveChecks(enabled=True))}


def test_only_what_is_new_since_the_last_look_counts() -> None:
    made, _ = backend_window(**GUARDED)
    made.start((1000, 900))
    assert made.update(1010, 904, 1.0) == 4
    assert made.update(1010, 904, 2.0) == 0
    assert made.volume(2.0) == Volume(10, 4)


def test_an_abort_after_the_look_that_saw_its_request_takes_nothing_away() -> None:
    made, _ = backend_window(**GUARDED)
    made.update(10, 0, 1.0)
    assert made.update(9, 0, 2.0) == 0
    assert made.volume(2.0) == Volume(10, 0)


def test_a_breaker_is_due_by_rate_from_half_of_twenty_on_and_begins_anew() -> None:
    made, _ = backend_window(**GUARDED)
    made.update(19, 19, 1.0)
    assert not made.exceeds_failure_rate(1.0)
    made.update(38, 19, 1.0)
    assert made.exceeds_failure_rate(1.0)
    assert not made.exceeds_failure_rate(99.0)
    made.update(58, 39, 99.0)
    made.clear()
    assert not made.exceeds_failure_rate(99.0)


def test_without_a_breaker_or_passive_checks_there_is_no_window_for_them() -> None:
    made, _ = backend_window(health_check=GUARDED["health_check"])
    made.update(100, 100, 1.0)
    assert not made.exceeds_failure_rate(1.0)
    off = HealthCheck(passive=PassiveChecks(enabled=False))
    made, _ = backend_window(breaker=replace(CircuitBreaker(), enabled=True), health_check=off)
    made.update(100, 100, 1.0)
    assert made.volume(1.0) == Volume(0, 0)


def test_trials_are_added_over_workers_and_told_once() -> None:
    made, child_context = backend_window(**GUARDED)
    block = counters.block(1)
    child_context.board.rows[0][block + counters.TRIALS_PASSED] = 2
    child_context.board.rows[1][block + counters.TRIALS_PASSED] = 1
    child_context.board.rows[1][block + counters.TRIALS_FAILED] = 4
    assert [made.take_trials(), made.take_trials()] == [(3, 4), (0, 0)]
