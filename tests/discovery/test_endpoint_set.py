"""What is believed of a source's reports, and when it is served: by a clock that is turned by hand."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.answer import Answer, Report, SourceFailure
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.discovery.endpoint_set import (
    FIRST_RETRY_S,
    LONGEST_DEBOUNCE,
    LONGEST_RETRY_S,
    MAX_ABSENT,
    MAX_ENDPOINTS,
    EndpointSet,
    Result,
    Standing,
    normalized,
)
from balance.discovery.settings import Discovery, FileDiscovery

SOURCE = FileDiscovery("x")
A, B, C = (Endpoint(f"10.0.0.{n}:80") for n in (1, 2, 3))
FAILED = SourceFailure("no answer")


def answer(*endpoints: Endpoint) -> Answer:
    return Answer(endpoints)


class Pool:
    """One pool with a clock, whose supervisor serves whatever it is given."""

    def __init__(self, *known: Endpoint, hold: float = 30, debounce: float = 0.2, on_empty: str = "hold") -> None:
        before = DiscoveredPool("p", normalized(known)) if known else None
        self.set = EndpointSet(Discovery(SOURCE, hold, debounce, on_empty), 0.0, before)
        self.now = 0.0
        self.orders: list[DiscoveredPool] = []

    def reports(self, report: Report) -> Result:
        return self.set.report(report, self.now)

    def turn(self, seconds: float) -> None:
        """The time passes; what is due is served when it is."""
        end = self.now + seconds
        while (due := self.set.due) <= end:
            self.now = max(self.now, due)
            if (taken := self.set.take(self.now, "p")) is not None:
                self.orders.append(taken)
                self.set.was_served(taken, self.now)
        self.now = end

    @property
    def names(self) -> list[str]:
        return [each.key for each in self.set.served]


def test_the_first_answer_is_served_at_once_and_later_ones_after_the_debounce() -> None:
    pool = Pool()
    assert (pool.set.standing, pool.set.due) == (Standing.WAITING, float("inf"))
    assert pool.reports(answer(B, A)) is Result.CHANGED
    assert pool.set.due == pool.now
    pool.turn(0)
    assert (pool.names, pool.set.standing) == (["10.0.0.1:80", "10.0.0.2:80"], Standing.FRESH)
    pool.turn(5)
    pool.reports(answer(A))
    pool.turn(0.1)
    assert len(pool.names) == 2
    pool.turn(0.11)
    assert pool.names == ["10.0.0.1:80"]


@pytest.mark.parametrize("order", list(permutations([A, B, C])))
def test_the_same_set_in_another_order_is_no_event(order: tuple[Endpoint, ...]) -> None:
    """S3."""
    pool = Pool(A, B, C)
    assert pool.reports(Answer(order)) is Result.UNCHANGED
    assert pool.set.due == float("inf")


def test_a_burst_is_served_together_and_one_that_never_ends_after_ten_times_as_long() -> None:
    """S16."""
    pool = Pool(A)
    for number in range(200):  # in a second
        pool.reports(answer(A, Endpoint(f"10.1.0.{number}:80")))
        pool.turn(0.005)
    assert pool.orders == []
    pool.turn(0.2)
    assert len(pool.orders) == 1
    assert pool.names == ["10.0.0.1:80", "10.1.0.199:80"]
    began = pool.now
    for number in range(250):
        pool.reports(answer(A, Endpoint(f"10.2.0.{number}:80")))
        pool.turn(0.01)
    assert len(pool.orders) == 2
    assert pool.now - began >= LONGEST_DEBOUNCE * 0.2


def test_what_changes_and_changes_back_is_no_event() -> None:
    pool = Pool(A, B)
    pool.reports(answer(A))
    pool.reports(answer(A, B))
    pool.turn(10)
    assert pool.orders == []


def test_a_failure_changes_nothing_however_long_it_lasts() -> None:
    """S1, S10: the last good set stays, and is marked."""
    pool = Pool()
    assert pool.reports(FAILED) is Result.FAILURE
    assert (pool.set.standing, pool.set.failure) == (Standing.FAILING, "no answer")
    pool.reports(answer(A))
    pool.turn(1)
    for _ in range(1000):
        pool.reports(FAILED)
        pool.turn(60)
    assert (pool.names, pool.set.standing, pool.set.since) == (["10.0.0.1:80"], Standing.STALE, 1.0)
    pool.reports(answer(A))
    assert (pool.set.standing, pool.set.failure) == (Standing.FRESH, "")


@pytest.mark.parametrize(
    ("on_empty", "hold", "reports", "empties_at"),
    [
        ("hold", 30.0, [(0, "empty"), (1, "empty"), (29, "empty")], 30.0),
        ("hold", 30.0, [(0, "empty")], None),  # a second look is needed
        ("hold", 30.0, [(0, "empty"), (40, "empty")], 40.0),
        ("hold", 30.0, [(0, "empty"), (1, "failed"), (29, "failed"), (31, "failed")], None),
        ("hold", 30.0, [(0, "empty"), (1, "empty"), (10, "failed"), (20, "empty"), (21, "empty")], 50.0),
        ("hold", 30.0, [(0, "empty"), (1, "empty"), (2, "a"), (20, "empty"), (21, "empty")], 50.0),
        ("hold", 0.0, [(0, "empty"), (1, "empty")], 1.0),
        ("empty", 30.0, [(0, "empty"), (2, "empty")], 2.0),
        ("empty", 30.0, [(0, "empty"), (1, "failed"), (2, "empty")], None),
        ("empty", 30.0, [(0, "empty"), (1, "a"), (2, "empty")], None),
    ],
)
def test_an_answer_without_anybody_needs_a_second_look_and_the_hold(
    on_empty: str, hold: float, reports: list[tuple[float, str]], empties_at: float | None
) -> None:
    """S1: nobody and no answer are different things; a pool that may scale to zero says so."""
    pool = Pool(A, hold=hold, debounce=0.0, on_empty=on_empty)
    told = {"empty": answer(), "failed": FAILED, "a": answer(A)}
    emptied = None
    for at, report in [*reports, (200.0, "")]:
        while pool.now < at:
            pool.turn(0.5)
            if emptied is None and not pool.names:
                emptied = pool.now
        if report:
            pool.reports(told[report])
    assert (emptied is None) == (empties_at is None)
    if emptied is not None and empties_at is not None:
        assert empties_at <= emptied <= empties_at + 0.5


def test_an_empty_pool_that_is_told_of_nobody_is_as_it_should_be() -> None:
    pool = Pool()
    assert pool.reports(answer()) is Result.UNCHANGED
    pool.turn(1)
    assert (pool.set.standing, pool.orders, pool.set.due) == (Standing.FRESH, [], float("inf"))
    pool.reports(answer(A))
    pool.turn(1)
    assert pool.names == ["10.0.0.1:80"]


@pytest.mark.parametrize(
    ("report", "names"),
    [
        (Answer((B,), unasked=frozenset(["AAAA"])), ["10.0.0.2:80", "[::1]:80"]),
        (Answer((B,)), ["10.0.0.2:80"]),
        (Answer((), unasked=frozenset(["AAAA"])), ["[::1]:80"]),
        (Answer((), unasked=frozenset(["A", "AAAA"])), ["10.0.0.1:80", "[::1]:80"]),
        (Answer((Endpoint("[::2]:80", part="AAAA"),), unasked=frozenset(["A"])), ["10.0.0.1:80", "[::2]:80"]),
        (Answer((B,), partial=("one was left out",)), ["10.0.0.2:80"]),
    ],
)
def test_a_part_that_could_not_be_asked_stays_as_it_was(report: Answer, names: list[str]) -> None:
    """S6: one family that fails does not wipe the other."""
    pool = Pool(replace(A, part="A"), Endpoint("[::1]:80", part="AAAA"))
    pool.reports(report)
    pool.turn(1)
    assert pool.names == names


def test_half_an_answer_without_anybody_is_no_answer() -> None:
    pool = Pool(replace(A, part="A"), debounce=0.0, on_empty="empty")
    for _ in range(5):
        assert pool.reports(Answer((), unasked=frozenset(["AAAA"]))) in (Result.FAILURE, Result.EMPTY)
        pool.turn(1)
        assert pool.reports(Answer((replace(A, part="A"),))) is Result.UNCHANGED
    pool = Pool()
    assert pool.reports(Answer((), unasked=frozenset(["AAAA"]))) is Result.FAILURE


def test_names_that_vanish_are_remembered_for_the_hold() -> None:
    pool = Pool(A, B, C, hold=10, debounce=0.0)
    pool.reports(answer(A))
    pool.turn(1)
    assert pool.orders[-1].absent == (B.key, C.key)
    pool.turn(5)
    pool.reports(answer(A, B))
    pool.turn(5)
    assert (pool.orders[-1].returning, pool.orders[-1].absent) == ((B.key,), (C.key,))
    pool.reports(answer(A, B, C))  # too late
    pool.turn(1)
    assert (pool.orders[-1].returning, pool.orders[-1].absent) == ((), ())


def test_a_set_that_is_refused_is_asked_for_again_later_each_time() -> None:
    pool = Pool(A, debounce=0.0)
    pool.reports(answer(B))
    waits = []
    for _ in range(8):
        pool.now = pool.set.due
        assert pool.set.take(pool.now, "p") is not None
        pool.set.was_refused("no room", pool.now)
        waits.append(pool.set.due - pool.now)
    assert waits == [FIRST_RETRY_S, 2, 4, 8, 16, LONGEST_RETRY_S, LONGEST_RETRY_S, LONGEST_RETRY_S]
    assert (pool.names, pool.set.refusal) == ([A.key], "no room")
    pool.reports(answer(C))  # something else is tried at once
    assert pool.set.due <= pool.now
    pool.turn(0)
    assert (pool.names, pool.set.refusal) == ([C.key], "")


def test_what_comes_while_an_order_is_served_is_not_lost() -> None:
    pool = Pool(A, debounce=0.0)
    pool.reports(answer(B))
    taken = pool.set.take(pool.now, "p")
    assert taken is not None
    pool.reports(answer(C))
    pool.set.was_served(taken, pool.now)
    assert pool.names == [B.key]
    pool.turn(0)
    assert pool.names == [C.key]


def test_too_many_endpoints_are_a_failure() -> None:
    pool = Pool(A)
    assert pool.reports(Answer((B,) * (MAX_ENDPOINTS + 1))) is Result.FAILURE
    assert pool.names == [A.key]


@pytest.mark.parametrize(
    ("endpoints", "names"),
    [
        ([A, A], ["10.0.0.1:80"]),
        ([replace(A, name="x"), replace(B, name="x")], ["10.0.0.2:80", "x"]),
        ([replace(A, name="x"), replace(A, name="y")], ["x"]),
        ([replace(A, name="node/id 1")], ["node-id-1"]),
        ([replace(A, name="\n\x00")], ["--"]),
        ([replace(A, name="n" * 300)], ["n" * 100]),
        ([], []),
    ],
)
def test_every_address_and_name_is_there_once(endpoints: list[Endpoint], names: list[str]) -> None:
    assert [each.key for each in normalized(endpoints)] == names


_ENDPOINTS = st.lists(
    st.builds(
        Endpoint,
        st.integers(1, 4).map(lambda n: f"10.0.0.{n}:80"),
        name=st.sampled_from(["", "a", "b", "a/b"]),
        weight=st.integers(0, 2),
        part=st.sampled_from(["", "A"]),
    ),
    max_size=4,
).map(tuple)
_REPORTS = st.one_of(
    st.builds(Answer, _ENDPOINTS, unasked=st.sampled_from([frozenset[str](), frozenset(["A"])])),
    st.just(FAILED),
    st.just(answer()),
)


@given(
    st.lists(st.tuples(_REPORTS, st.sampled_from([0.0, 0.1, 1.0, 20.0]), st.booleans()), max_size=20),
    st.sampled_from(["hold", "empty"]),
)
def test_whatever_is_reported(steps: list[tuple[Report, float, bool]], on_empty: str) -> None:
    """Names are unique and in order; no report empties a pool at once; what is believed is served in the end; the memory of
    what is gone is bounded."""
    pool = Pool(hold=10, on_empty=on_empty)
    for report, seconds, is_refused in steps:
        before = pool.names
        pool.reports(report)
        if is_refused and pool.set.take(pool.now, "p") is not None:
            pool.set.was_refused("no", pool.now)
            assert pool.set.due > pool.now
        if before and isinstance(report, Answer) and pool.set.is_held:
            assert pool.set.standing is Standing.STALE
        pool.turn(seconds)
        assert pool.names == sorted(set(pool.names))
        assert len(pool.set._absent) <= MAX_ABSENT
    pool.turn(LONGEST_RETRY_S + 10)
    assert pool.set.served == pool.set.wanted
    assert pool.set.standing is not Standing.FAILING or not pool.names
