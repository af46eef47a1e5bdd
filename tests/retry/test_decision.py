"""Retry decisions: each failure and the expected outcome."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import Retry, RetryBudget
from balance.retry.decision import (
    DEFAULT_MAX_CONNECTS,
    MAX_CONNECTS,
    NOT_RETRIED,
    Failure,
    RetryContext,
    RetryOutcome,
    RetryPolicy,
    decide,
)

CONNECT, RESET, TIMEOUT, STATUS, GRPC = Failure
FULL = Retry(enabled=True, max_attempts=4, on=("connect", "reset", 502, 503, 504))


def made(retry: Retry = FULL, workers: int = 1) -> RetryPolicy:
    return RetryPolicy(retry, workers, lambda: 0.5)


def nobody() -> int:
    return 0


TABLE: list[tuple[RetryContext, RetryOutcome, float]] = [
    # a failed connect: any method, at once, every backend that is ready; what was sent before does not count
    (RetryContext(CONNECT, tries=0, connects=1), RetryOutcome.MADE, 0.0),
    (RetryContext(CONNECT, tries=0, connects=1, is_idempotent=False, is_buffered=False), RetryOutcome.MADE, 0.0),
    (RetryContext(CONNECT, tries=0, connects=MAX_CONNECTS - 1), RetryOutcome.MADE, 0.0),
    (RetryContext(CONNECT, tries=0, connects=MAX_CONNECTS), RetryOutcome.ATTEMPTS, 0.0),
    (RetryContext(CONNECT, tries=4, connects=1), RetryOutcome.MADE, 0.0),
    (RetryContext(CONNECT, tries=0, connects=1, has_untried_backend=False), RetryOutcome.NOBODY, 0.0),
    (RetryContext(RESET, tries=3, connects=4, waits=0), RetryOutcome.MADE, 0.0),
    # a connection that broke before the reply: the first move, to another backend, waits for nothing
    (RetryContext(RESET), RetryOutcome.MADE, 0.0),
    (RetryContext(RESET, tries=2, waits=1), RetryOutcome.MADE, 0.1),
    (RetryContext(RESET, is_idempotent=False), RetryOutcome.METHOD, 0.0),
    (RetryContext(RESET, is_buffered=False), RetryOutcome.BODY, 0.0),
    (RetryContext(RESET, has_reply_begun=True), RetryOutcome.BEGUN, 0.0),
    (RetryContext(RESET, tries=4), RetryOutcome.ATTEMPTS, 0.0),
    (RetryContext(RESET, has_untried_backend=False), RetryOutcome.MADE, 0.05),  # the same one, after a while
    (RetryContext(RESET, left_s=0.001), RetryOutcome.MADE, 0.0),
    (RetryContext(RESET, has_untried_backend=False, left_s=0.051), RetryOutcome.MADE, 0.05),
    (RetryContext(RESET, has_untried_backend=False, left_s=0.05), RetryOutcome.DEADLINE, 0.0),
    (RetryContext(RESET, left_s=-1.0), RetryOutcome.DEADLINE, 0.0),
    # no reply in time
    (RetryContext(TIMEOUT), RetryOutcome.MADE, 0.05),
    (RetryContext(TIMEOUT, is_idempotent=False), RetryOutcome.METHOD, 0.0),
    (RetryContext(TIMEOUT, has_reply_begun=True), RetryOutcome.BEGUN, 0.0),
    # a reply that says that it failed
    (RetryContext(STATUS, 503), RetryOutcome.MADE, 0.05),
    (RetryContext(STATUS, 503, has_retry_after=True), RetryOutcome.RETRY_AFTER, 0.0),
    (RetryContext(STATUS, 503, is_idempotent=False), RetryOutcome.METHOD, 0.0),
    (RetryContext(STATUS, 503, is_buffered=False), RetryOutcome.BODY, 0.0),
    (RetryContext(STATUS, 503, has_reply_begun=True), RetryOutcome.BEGUN, 0.0),
    (RetryContext(STATUS, 500), RetryOutcome.OFF, 0.0),
    # where several reasons hold, the one that no waiting would mend
    (RetryContext(RESET, has_reply_begun=True, is_idempotent=False, is_buffered=False, tries=9), RetryOutcome.BEGUN, 0.0),
    (RetryContext(RESET, is_idempotent=False, is_buffered=False, tries=9), RetryOutcome.METHOD, 0.0),
    (RetryContext(RESET, is_buffered=False, tries=9, left_s=0.0), RetryOutcome.BODY, 0.0),
]


@pytest.mark.parametrize(("failed", "again", "wait_s"), TABLE)
def test_a_failure_is_tried_again_or_there_is_a_reason(failed: RetryContext, again: RetryOutcome, wait_s: float) -> None:
    verdict = decide(failed, made(), 100.0, nobody)
    assert (verdict.outcome, verdict.wait_s) == (again, pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("failed", "again"),
    [
        (RetryContext(CONNECT), RetryOutcome.MADE),
        (RetryContext(CONNECT, is_idempotent=False, is_buffered=False), RetryOutcome.MADE),
        (RetryContext(CONNECT, tries=0, connects=DEFAULT_MAX_CONNECTS - 1), RetryOutcome.MADE),
        (RetryContext(CONNECT, tries=0, connects=DEFAULT_MAX_CONNECTS), RetryOutcome.ATTEMPTS),
        (RetryContext(CONNECT, has_untried_backend=False), RetryOutcome.NOBODY),
        (RetryContext(RESET), RetryOutcome.OFF),
        (RetryContext(TIMEOUT), RetryOutcome.OFF),
        (RetryContext(STATUS, 503), RetryOutcome.OFF),
    ],
)
def test_unasked_only_the_next_backend_is_tried_and_at_once(failed: RetryContext, again: RetryOutcome) -> None:
    assert decide(failed, None, 100.0, nobody) == (again, 0.0, False)


@pytest.mark.parametrize(
    ("on", "failed", "again", "wait_s"),
    [
        ((503,), RetryContext(STATUS, 503), RetryOutcome.MADE, 0.05),
        ((503,), RetryContext(STATUS, 502), RetryOutcome.OFF, 0.0),
        ((503,), RetryContext(RESET), RetryOutcome.OFF, 0.0),
        ((503,), RetryContext(TIMEOUT), RetryOutcome.OFF, 0.0),
        ((504,), RetryContext(TIMEOUT), RetryOutcome.MADE, 0.05),
        (("timeout",), RetryContext(TIMEOUT), RetryOutcome.MADE, 0.05),
        (("timeout",), RetryContext(STATUS, 504), RetryOutcome.OFF, 0.0),
        ((429,), RetryContext(STATUS, 429), RetryOutcome.MADE, 0.05),
        (("reset",), RetryContext(RESET), RetryOutcome.MADE, 0.0),
        (("unavailable",), RetryContext(GRPC, 14, is_idempotent=False), RetryOutcome.MADE, 0.05),
        (("unavailable",), RetryContext(GRPC, 14, pushback_s=0.7), RetryOutcome.MADE, 0.7),
        (("unavailable",), RetryContext(GRPC, 14, pushback_s=0.0), RetryOutcome.MADE, 0.0),
        (("unavailable",), RetryContext(GRPC, 14, pushback_s=0.7, left_s=0.5), RetryOutcome.DEADLINE, 0.0),
        (("unavailable",), RetryContext(GRPC, 14, has_retry_after=True), RetryOutcome.RETRY_AFTER, 0.0),
        (("unavailable",), RetryContext(GRPC, 14, is_buffered=False), RetryOutcome.BODY, 0.0),
        (("unavailable",), RetryContext(GRPC, 13), RetryOutcome.OFF, 0.0),
        (("unavailable", "internal"), RetryContext(GRPC, 13), RetryOutcome.MADE, 0.05),
        ((503,), RetryContext(GRPC, 14), RetryOutcome.OFF, 0.0),
        (
            (),
            RetryContext(CONNECT, connects=2),
            RetryOutcome.MADE,
            0.0,
        ),  # without `connect` it is as if nothing were configured
        ((), RetryContext(CONNECT, connects=3), RetryOutcome.ATTEMPTS, 0.0),
    ],
)
def test_only_what_is_asked_for_is_tried_again(
    on: tuple[Any, ...], failed: RetryContext, again: RetryOutcome, wait_s: float
) -> None:
    verdict = decide(failed, made(Retry(enabled=True, max_attempts=4, on=on)), 100.0, nobody)
    assert (verdict.outcome, verdict.wait_s) == (again, pytest.approx(wait_s))


def test_a_move_away_from_a_dead_backend_is_free_and_all_else_is_paid() -> None:
    retrying = made(Retry(enabled=True, max_attempts=4, on=FULL.on, budget=RetryBudget(0.0, 0)))
    for connects in (1, 2, 4):
        assert decide(RetryContext(CONNECT, connects=connects), retrying, 100.0, nobody) == (RetryOutcome.MADE, 0.0, False)
    for failed in (RetryContext(RESET), RetryContext(TIMEOUT), RetryContext(STATUS, 503)):
        assert decide(failed, retrying, 100.0, nobody).outcome is RetryOutcome.BUDGET
    assert retrying.budget.in_flight == 0


def test_what_is_paid_is_in_flight_until_it_is_done() -> None:
    retrying = made()
    assert decide(RetryContext(STATUS, 503), retrying, 100.0, nobody) == (RetryOutcome.MADE, 0.05, True)
    assert retrying.budget.in_flight == 1
    retrying.budget.release()
    assert retrying.budget.in_flight == 0


def test_all_that_a_backend_had_in_flight_may_move_at_once_within_the_budget_s_rate() -> None:
    retrying = made(Retry(enabled=True, on=("reset", 503), budget=RetryBudget(0.2, 2)))
    for _ in range(20):
        assert decide(RetryContext(RESET), retrying, 100.0, nobody) == (RetryOutcome.MADE, 0.0, True)
    assert decide(RetryContext(RESET), retrying, 100.0, nobody).outcome is RetryOutcome.BUDGET  # 10 s of the floor are spent
    for _ in range(17):
        retrying.budget.release()
    assert decide(RetryContext(STATUS, 503), retrying, 100.5, nobody).outcome is RetryOutcome.BUDGET  # three are in flight


@pytest.mark.parametrize(("workers", "left"), [(1, 100), (2, 50), (8, 12.5)])
def test_workers_share_the_floor(workers: int, left: float) -> None:
    assert made(workers=workers).budget.available(100.0) == left


@given(
    st.builds(
        RetryContext,
        st.sampled_from(Failure),
        st.sampled_from([500, 502, 503, 504]),
        *[st.booleans()] * 5,
        st.integers(1, 5),
        st.integers(0, 4),
        st.integers(0, 4),
        st.floats(-1, 10),
    )
)
def test_nothing_that_may_have_been_read_is_sent_twice_unless_it_may_be(failed: RetryContext) -> None:
    for retrying in (None, made()):
        verdict = decide(failed, retrying, 100.0, nobody)
        if verdict.outcome is RetryOutcome.MADE:
            assert failed.failure is CONNECT or (failed.is_idempotent and failed.is_buffered and not failed.has_reply_begun)
            assert failed.tries < 4 or failed.failure is CONNECT
            assert verdict.wait_s < failed.left_s or not verdict.is_paid
        else:
            assert verdict.outcome in NOT_RETRIED


def test_every_reason_has_its_word() -> None:
    words = ["made", "method", "body", "begun", "attempts", "budget", "deadline", "nobody", "off", "retry_after"]
    assert [again.word for again in RetryOutcome] == ["", *words]
