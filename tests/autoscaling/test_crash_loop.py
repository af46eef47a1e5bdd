"""When processes that die are started again."""

from __future__ import annotations

from balance.autoscaling.crash_loop import MAX_CRASHES, STOPPED_S, CrashLoop


def test_pauses_grow_and_then_it_is_stopped_for_long() -> None:
    loop, now, pauses, stops = CrashLoop(), 0.0, [], []
    for _ in range(MAX_CRASHES + 2):
        stops.append(loop.crashed("exit status 1", 0.5, now))
        pauses.append(loop.not_before - now)
        now = loop.not_before
    assert pauses == [1.0, 2.0, 4.0, 8.0, STOPPED_S, STOPPED_S, STOPPED_S]
    assert stops == [False] * 4 + [True] + [False] * 2  # said once
    assert loop.is_stopped and loop.last == "exit status 1"


def test_one_that_has_served_long_is_replaced_at_once() -> None:
    loop = CrashLoop()
    loop.crashed("killed by signal 9", 3600.0, 100.0)
    assert (loop.crashes, loop.not_before) == (1, 100.0)


def test_one_that_becomes_stable_clears_the_count() -> None:
    loop = CrashLoop()
    loop.crashed("exit status 1", 0.0, 0.0)
    loop.became_stable()
    assert loop.crashes == 0
