"""The retry budget: never more retries than its ratio and minimum rate allow, in any order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.retry.budget import MIN_CONCURRENCY, WINDOW_S, Budget


def nobody() -> int:
    return 0


def drawn(budget: Budget, now: float, at_most: int = 10_000) -> int:
    """How many retries can be had one after the other, each done before the next."""
    count = 0
    while count < at_most and budget.acquire(now, nobody):
        budget.release()
        count += 1
    return count


@pytest.mark.parametrize(
    ("ratio", "floor", "requests", "granted"),
    [(0.2, 0, 0, 0), (0.2, 0, 4, 0), (0.2, 0, 5, 1), (0.2, 0, 1000, 200), (0.2, 10, 0, 100), (0.2, 10, 1000, 300),
     (0.0, 0, 1000, 0), (0.0, 0.25, 1000, 2), (1.0, 0, 7, 7)],
)  # fmt: skip
def test_requests_pay_for_their_share_and_the_floor_for_the_rest(
    ratio: float, floor: float, requests: int, granted: int
) -> None:
    budget = Budget(ratio, floor)
    budget.requests += requests
    assert drawn(budget, 100.0) == granted


def test_what_was_paid_is_forgotten_after_its_time_and_what_was_taken_too() -> None:
    budget = Budget(0.2, 1)
    budget.requests += 100
    assert drawn(budget, 100.0) == 30
    assert budget.available(100.0 + WINDOW_S - 1) == 0
    assert budget.available(100.0 + WINDOW_S) == 10
    assert drawn(budget, 100.0 + WINDOW_S) == 10
    assert budget.available(1e9) == 10


def test_requests_count_from_when_they_were_dated() -> None:
    budget = Budget(0.5, 0)
    for second in range(WINDOW_S + 5):
        budget.requests += 2
        budget.advance(float(second))
    assert budget.available(WINDOW_S + 4.9) == WINDOW_S


def test_a_clock_that_steps_back_takes_nothing_away() -> None:
    budget = Budget(1.0, 0)
    budget.requests += 3
    budget.advance(50.0)
    budget.requests += 2
    assert budget.available(49.0) == 5


@pytest.mark.parametrize(("active", "granted"), [(0, 3), (1, 3), (15, 3), (19, 3), (20, 4), (100, 20)])
def test_only_so_many_are_in_flight_at_once(active: int, granted: int) -> None:
    budget = Budget(0.2, 1000)
    count = 0
    while budget.acquire(1.0, lambda: active):
        count += 1
    assert (count, budget.in_flight) == (granted, granted)
    budget.release()
    assert budget.acquire(1.0, lambda: active)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 4)),
        st.tuples(st.just("send"), st.integers(1, 60)),
        st.tuples(st.just("draw"), st.integers(1, 30)),
        st.tuples(st.just("done"), st.integers(1, 30)),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([0.0, 0.1, 0.2, 1.0]), st.sampled_from([0.0, 0.25, 1.0, 10.0]), st.integers(0, 100))
def test_retries_of_any_ten_seconds_were_paid_for(
    steps: list[tuple[str, float]], ratio: float, floor: float, active: int
) -> None:
    """Against a ledger that keeps every entry; it also says when one had to be granted."""
    budget, now = Budget(ratio, floor), 1000.0
    requests: list[int] = []
    retries: list[int] = []
    in_flight = 0
    for what, amount in steps:
        if what == "pass":
            budget.advance(now)  # as a worker does often enough
            now += amount
        for _ in range(int(amount) if what != "pass" else 0):
            second = int(now)
            if what == "send":
                budget.requests += 1
                requests.append(second)
            elif what == "done":
                if in_flight:
                    in_flight -= 1
                    budget.release()
            else:
                paid = ratio * sum(at > second - WINDOW_S for at in requests) + floor * WINDOW_S
                taken = sum(at > second - WINDOW_S for at in retries)
                is_due = paid - taken >= 1.0 and in_flight + 1 <= max(MIN_CONCURRENCY, ratio * active)
                assert budget.acquire(now, lambda: active) is is_due
                if is_due:
                    in_flight += 1
                    retries.append(second)
        assert budget.in_flight == in_flight <= max(MIN_CONCURRENCY, ratio * active)
