"""Freed memory is given back after floods, and not in ordinary ups and downs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from balance.process.worker.freed_memory import MANY, REST_S, THREAD_NAME, FreedMemory, malloc_trim


@pytest.mark.parametrize(
    ("clients", "expected"),
    [
        ([MANY - 1, 0, 0], []),
        ([MANY, 0, 0, 0], [1]),
        ([0, MANY, MANY + 50, 10, 10], [3]),
        ([10 * MANY, 6 * MANY, 5 * MANY, 4 * MANY, 0], [2, 4]),
        ([1000, 900, 1000, 700, 501, 1000], []),
        ([5000, 100, 5000, 100], [1, 3]),
    ],
)
def test_it_is_due_when_many_have_left(clients: list[int], expected: list[int]) -> None:
    freed = FreedMemory(asyncio.new_event_loop(), lambda: 0, None)
    assert [turn for turn, count in enumerate(clients) if freed.is_due(count, turn * REST_S)] == expected
    freed._loop.close()


def test_it_rests_between_two_times() -> None:
    freed = FreedMemory(asyncio.new_event_loop(), lambda: 0, None)
    seen = [(5000, 0.0), (0, 1.0), (5000, 2.0), (0, 3.0), (0, 1.0 + REST_S)]
    assert [at for count, at in seen if freed.is_due(count, at)] == [1.0, 1.0 + REST_S]
    freed._loop.close()


def test_what_was_freed_after_the_flood_is_given_back_too() -> None:
    """Those who left last may have been closing still, and what they held was freed later."""
    given: list[float] = []

    class Clock(asyncio.SelectorEventLoop):
        now = 100.0

        def time(self) -> float:
            return self.now

    def trim(_: int) -> None:
        given.append(loop.now)

    loop, clients = Clock(), [MANY]
    freed = FreedMemory(loop, lambda: clients[0], trim)
    for now, count in ((100.0, MANY), (101.0, 0), (102.0, 0), (101.0 + REST_S, 0), (102.0 + REST_S, 0), (200.0, 0)):
        loop.now, clients[0] = now, count
        freed._look()
        for thread in threading.enumerate():
            if thread.name == THREAD_NAME:
                thread.join()
    loop.close()
    assert given == [101.0, 101.0 + REST_S]


def test_this_c_library_has_what_it_needs() -> None:
    trim = malloc_trim()
    assert trim is not None
    assert trim(0) in (0, 1)
