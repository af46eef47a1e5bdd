"""A worker's garbage collector looks through all objects when nobody waits, or seldom."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from balance.model import Why
from balance.process.worker.collector import BUSY_REST_S, IDLE_S, QUIET_REST_S, SESSIONS_AFTER, SHARE, Collector
from balance.runtime import counters


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Begun at its own time 0, after a run that took no time."""
    loop = asyncio.new_event_loop()
    collector = Collector(loop, [0] * counters.BACKENDS)
    collector._rest(0.0, 0.0)
    yield collector
    loop.close()


@pytest.mark.parametrize(
    ("at", "is_quiet", "expected"),
    [
        (QUIET_REST_S - 0.1, True, False),
        (QUIET_REST_S, True, True),
        (QUIET_REST_S, False, False),
        (BUSY_REST_S - 0.1, False, False),
        (BUSY_REST_S, False, True),
    ],
)
def test_a_quiet_moment_is_waited_for_up_to_a_minute(collector: Collector, at: float, is_quiet: bool, expected: bool) -> None:
    assert collector.is_due(at, is_quiet=is_quiet, runs=1) is expected


def test_it_takes_a_thousandth_of_the_time_at_most(collector: Collector) -> None:
    collector._rest(100.0, 0.5)
    assert not collector.is_due(100.0 + SHARE * 0.5 - 1, is_quiet=True, runs=1)
    assert not collector.is_due(100.0 + SHARE * 0.5 - 1, is_quiet=False, runs=1)
    assert collector.is_due(100.0 + SHARE * 0.5, is_quiet=False, runs=1)


def test_where_nothing_has_become_old_there_is_nothing_to_look_through(collector: Collector) -> None:
    assert not collector.is_due(1e9, is_quiet=True, runs=0)


def test_a_request_under_way_or_since_the_last_look_is_no_quiet_moment() -> None:
    loop, cells = asyncio.new_event_loop(), [0] * counters.BACKENDS
    watched = Watched(loop, cells)
    for cell, step in ((0, 0), (counters.WHY, 1), (0, 0), (counters.CONNECTIONS, 1), (counters.BYTES_IN, 9), (0, 0),
                       (counters.EXCHANGES_OPEN, 1)):  # fmt: skip
        cells[cell] += step
        watched._look()
    loop.close()
    assert watched.asked == [True, False, True, False, False, True, False]


class Watched(Collector):
    """Notes what it takes each look for; with CPU time of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cells: list[int]) -> None:
        self.used_s = 0.0
        super().__init__(loop, cells, lambda: self.used_s)
        self.asked: list[bool] = []

    def is_due(self, now: float, *, is_quiet: bool, runs: int) -> bool:
        self.asked.append(is_quiet)
        return False

    def look(self, times: int, *, each_s: float = 0.0) -> bool:
        """What the last of so many looks was, between which the loop has worked for `each_s`."""
        for _ in range(times):
            self.used_s += each_s
            self._look()
        return self.asked[-1]


@pytest.fixture
def session() -> Iterator[tuple[Watched, list[int]]]:
    """With a TCP session that has just begun; its row."""
    loop, cells = asyncio.new_event_loop(), [0] * counters.BACKENDS
    watched = Watched(loop, cells)
    cells[counters.CONNECTIONS] = cells[counters.EXCHANGES_OPEN] = 1
    yield watched, cells
    loop.close()


def test_a_session_that_stays_open_and_moves_nothing_lets_moments_be_quiet(session: tuple[Watched, list[int]]) -> None:
    watched, cells = session
    assert not watched.look(SESSIONS_AFTER)  # it might be a request
    assert watched.look(1)
    cells[counters.BYTES_OUT] += 100  # a ping, counted at some time
    assert watched.look(1)


def test_a_session_that_moves_bytes_is_not_quiet_long_before_they_are_counted(session: tuple[Watched, list[int]]) -> None:
    watched, cells = session
    assert watched.look(SESSIONS_AFTER + 1)
    assert not watched.look(2 * SESSIONS_AFTER, each_s=2 * IDLE_S)
    cells[counters.BYTES_OUT] += 1 << 30
    assert not watched.look(1, each_s=2 * IDLE_S)
    assert watched.look(1)


@pytest.mark.parametrize("cell", [counters.WHY + Why.OK, counters.CONNECTIONS, counters.EXCHANGES_OPEN])
def test_requests_beside_a_session_are_no_quiet_moment(session: tuple[Watched, list[int]], cell: int) -> None:
    watched, cells = session
    assert watched.look(SESSIONS_AFTER + 1)
    cells[cell] += 1
    assert not watched.look(SESSIONS_AFTER)
    assert watched.look(1)


# CPython 3.14.0 to 3.14.4 alone had the incremental collector; 3.14.5 has the one of 3.13 again.
@pytest.mark.skipif((3, 14) <= sys.version_info < (3, 14, 5), reason="goes through old objects in small steps, by itself")
def test_a_cycle_that_has_become_old_is_freed_in_a_quiet_moment_and_not_before() -> None:
    class Node:
        me: object

    freed: list[int] = []

    class Told(Node):
        def __del__(self) -> None:
            freed.append(1)

    loop, before = asyncio.new_event_loop(), gc.get_threshold()
    try:
        collector = Collector(loop, [0] * counters.BACKENDS)
        collector.begin()
        node = Told()
        node.me = node
        gc.collect(1)  # it survives, and is old
        del node
        for _ in range(50_000):  # runs over the young and the middle ones, by themselves
            node = Node()
            node.me = node
        assert not freed
        collector._look()
        assert not freed
        collector._rest(0.0, 0.0)
        collector._look()
        assert freed == [1]
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        loop.close()
