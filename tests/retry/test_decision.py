"""What may be tried again, as a table: each line one failure, and what is to become of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import Retry, RetryBudget
from balance.retry.decision import MAX_CONNECTS, SKIPPED, UNASKED_CONNECTS, Again, Failed, Failure, Retrying, decide

CONNECT, RESET, TIMEOUT, STATUS = Failure
FULL = Retry(enabled=True, max_attempts=4, on=("connect", "reset", 502, 503, 504))


def made(retry: Retry = FULL, workers: int = 1) -> Retrying:
    return Retrying(retry, workers, lambda: 0.5)


def nobody() -> int:
    return 0


TABLE: list[tuple[Failed, Again, float]] = [
    # a failed connect: any method, at once, every backend that is ready; what was sent before does not count
    (Failed(CONNECT, tries=0, connects=1), Again.MADE, 0.0),
    (Failed(CONNECT, tries=0, connects=1, is_repeatable=False, is_kept=False), Again.MADE, 0.0),
    (Failed(CONNECT, tries=0, connects=MAX_CONNECTS - 1), Again.MADE, 0.0),
    (Failed(CONNECT, tries=0, connects=MAX_CONNECTS), Again.ATTEMPTS, 0.0),
    (Failed(CONNECT, tries=4, connects=1), Again.MADE, 0.0),
    (Failed(CONNECT, tries=0, connects=1, has_other=False), Again.NOBODY, 0.0),
    (Failed(RESET, tries=3, connects=4, waits=0), Again.MADE, 0.0),
    # a connection that broke before the reply: the first move, to another backend, waits for nothing
    (Failed(RESET), Again.MADE, 0.0),
    (Failed(RESET, tries=2, waits=1), Again.MADE, 0.1),
    (Failed(RESET, is_repeatable=False), Again.METHOD, 0.0),
    (Failed(RESET, is_kept=False), Again.BODY, 0.0),
    (Failed(RESET, has_begun=True), Again.BEGUN, 0.0),
    (Failed(RESET, tries=4), Again.ATTEMPTS, 0.0),
    (Failed(RESET, has_other=False), Again.MADE, 0.05),  # the same one, after a while
    (Failed(RESET, left_s=0.001), Again.MADE, 0.0),
    (Failed(RESET, has_other=False, left_s=0.051), Again.MADE, 0.05),
    (Failed(RESET, has_other=False, left_s=0.05), Again.DEADLINE, 0.0),
    (Failed(RESET, left_s=-1.0), Again.DEADLINE, 0.0),
    # no reply in time
    (Failed(TIMEOUT), Again.MADE, 0.05),
    (Failed(TIMEOUT, is_repeatable=False), Again.METHOD, 0.0),
    (Failed(TIMEOUT, has_begun=True), Again.BEGUN, 0.0),
    # a reply that says that it failed
    (Failed(STATUS, 503), Again.MADE, 0.05),
    (Failed(STATUS, 503, asks_for_time=True), Again.RETRY_AFTER, 0.0),
    (Failed(STATUS, 503, is_repeatable=False), Again.METHOD, 0.0),
    (Failed(STATUS, 503, is_kept=False), Again.BODY, 0.0),
    (Failed(STATUS, 503, has_begun=True), Again.BEGUN, 0.0),
    (Failed(STATUS, 500), Again.OFF, 0.0),
    # where several reasons hold, the one that no waiting would mend
    (Failed(RESET, has_begun=True, is_repeatable=False, is_kept=False, tries=9), Again.BEGUN, 0.0),
    (Failed(RESET, is_repeatable=False, is_kept=False, tries=9), Again.METHOD, 0.0),
    (Failed(RESET, is_kept=False, tries=9, left_s=0.0), Again.BODY, 0.0),
]


@pytest.mark.parametrize(("failed", "again", "wait_s"), TABLE)
def test_a_failure_is_tried_again_or_there_is_a_reason(failed: Failed, again: Again, wait_s: float) -> None:
    verdict = decide(failed, made(), 100.0, nobody)
    assert (verdict.again, verdict.wait_s) == (again, pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("failed", "again"),
    [
        (Failed(CONNECT), Again.MADE),
        (Failed(CONNECT, is_repeatable=False, is_kept=False), Again.MADE),
        (Failed(CONNECT, tries=0, connects=UNASKED_CONNECTS - 1), Again.MADE),
        (Failed(CONNECT, tries=0, connects=UNASKED_CONNECTS), Again.ATTEMPTS),
        (Failed(CONNECT, has_other=False), Again.NOBODY),
        (Failed(RESET), Again.OFF),
        (Failed(TIMEOUT), Again.OFF),
        (Failed(STATUS, 503), Again.OFF),
    ],
)
def test_unasked_only_the_next_backend_is_tried_and_at_once(failed: Failed, again: Again) -> None:
    assert decide(failed, None, 100.0, nobody) == (again, 0.0, False)


@pytest.mark.parametrize(
    ("on", "failed", "again", "wait_s"),
    [
        ((503,), Failed(STATUS, 503), Again.MADE, 0.05),
        ((503,), Failed(STATUS, 502), Again.OFF, 0.0),
        ((503,), Failed(RESET), Again.OFF, 0.0),
        ((503,), Failed(TIMEOUT), Again.OFF, 0.0),
        ((504,), Failed(TIMEOUT), Again.MADE, 0.05),
        (("timeout",), Failed(TIMEOUT), Again.MADE, 0.05),
        (("timeout",), Failed(STATUS, 504), Again.OFF, 0.0),
        ((429,), Failed(STATUS, 429), Again.MADE, 0.05),
        (("reset",), Failed(RESET), Again.MADE, 0.0),
        ((), Failed(CONNECT, connects=2), Again.MADE, 0.0),  # without `connect` it is as if nothing were configured
        ((), Failed(CONNECT, connects=3), Again.ATTEMPTS, 0.0),
    ],
)
def test_only_what_is_asked_for_is_tried_again(on: tuple[Any, ...], failed: Failed, again: Again, wait_s: float) -> None:
    verdict = decide(failed, made(Retry(enabled=True, max_attempts=4, on=on)), 100.0, nobody)
    assert (verdict.again, verdict.wait_s) == (again, pytest.approx(wait_s))


def test_a_move_away_from_a_dead_backend_is_free_and_all_else_is_paid() -> None:
    retrying = made(Retry(enabled=True, max_attempts=4, on=FULL.on, budget=RetryBudget(0.0, 0)))
    for connects in (1, 2, 4):
        assert decide(Failed(CONNECT, connects=connects), retrying, 100.0, nobody) == (Again.MADE, 0.0, False)
    for failed in (Failed(RESET), Failed(TIMEOUT), Failed(STATUS, 503)):
        assert decide(failed, retrying, 100.0, nobody).again is Again.BUDGET
    assert retrying.budget.in_flight == 0


def test_what_is_paid_is_in_flight_until_it_is_done() -> None:
    retrying = made()
    assert decide(Failed(STATUS, 503), retrying, 100.0, nobody) == (Again.MADE, 0.05, True)
    assert retrying.budget.in_flight == 1
    retrying.budget.done()
    assert retrying.budget.in_flight == 0


def test_all_that_a_backend_had_in_flight_may_move_at_once_within_the_budget_s_rate() -> None:
    retrying = made(Retry(enabled=True, on=("reset", 503), budget=RetryBudget(0.2, 2)))
    for _ in range(20):
        assert decide(Failed(RESET), retrying, 100.0, nobody) == (Again.MADE, 0.0, True)
    assert decide(Failed(RESET), retrying, 100.0, nobody).again is Again.BUDGET  # 10 s of the floor are spent
    for _ in range(17):
        retrying.budget.done()
    assert decide(Failed(STATUS, 503), retrying, 100.5, nobody).again is Again.BUDGET  # three are in flight


@pytest.mark.parametrize(("workers", "left"), [(1, 100), (2, 50), (8, 12.5)])
def test_workers_share_the_floor(workers: int, left: float) -> None:
    assert made(workers=workers).budget.left(100.0) == left


@given(
    st.builds(
        Failed,
        st.sampled_from(Failure),
        st.sampled_from([500, 502, 503, 504]),
        *[st.booleans()] * 5,
        st.integers(1, 5),
        st.integers(0, 4),
        st.floats(-1, 10),
    )
)
def test_nothing_that_may_have_been_read_is_sent_twice_unless_it_may_be(failed: Failed) -> None:
    for retrying in (None, made()):
        verdict = decide(failed, retrying, 100.0, nobody)
        if verdict.again is Again.MADE:
            assert failed.how is CONNECT or (failed.is_repeatable and failed.is_kept and not failed.has_begun)
            assert failed.tries < 4 or failed.how is CONNECT
            assert verdict.wait_s < failed.left_s or not verdict.is_paid
        else:
            assert verdict.again in SKIPPED


def test_every_reason_has_its_word() -> None:
    words = ["made", "method", "body", "begun", "attempts", "budget", "deadline", "nobody", "off", "retry_after"]
    assert [again.word for again in Again] == ["", *words]
