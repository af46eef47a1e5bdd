"""A worker's garbage collector looks through all objects when nobody waits, or seldom."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from balance.process.worker.collector import BUSY_REST_S, QUIET_REST_S, SHARE, Collector
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
    asked: list[bool] = []

    class Watched(Collector):
        def is_due(self, now: float, *, is_quiet: bool, runs: int) -> bool:
            asked.append(is_quiet)
            return False

    loop, cells = asyncio.new_event_loop(), [0] * counters.BACKENDS
    watched = Watched(loop, cells)
    for cell, step in ((0, 0), (counters.WHY, 1), (0, 0), (counters.CONNECTIONS, 1), (counters.BYTES_IN, 9), (0, 0),
                       (counters.EXCHANGES_OPEN, 1)):  # fmt: skip
        cells[cell] += step
        watched._look()
    loop.close()
    assert asked == [True, False, True, False, False, True, False]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="goes through old objects in small steps, by itself")
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
