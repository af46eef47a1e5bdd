"""The sliding window, compared with a list of all events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.health.window import STEPS, Volume, Window


def test_what_is_older_than_the_span_is_forgotten_step_by_step() -> None:
    window = Window(10.0)
    window.add(5, 1, 100.0)
    window.add(7, 2, 105.5)
    assert window.volume(105.9) == Volume(12, 3)
    assert window.volume(110.0) == Volume(7, 2)
    assert window.volume(116.0) == Volume(0, 0)


def test_clear_begins_anew() -> None:
    window = Window(10.0)
    window.add(5, 5, 1.0)
    window.clear()
    assert window.volume(1.0) == Volume(0, 0)
    window.add(1, 0, 2.0)
    assert window.volume(2.0) == Volume(1, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0, 4)), max_size=60))
def test_it_holds_what_came_within_nine_to_ten_tenths_of_the_span(entries: list[tuple[int, int, float]]) -> None:
    window, everything, now = Window(10.0), [], 0.0
    for requests, failures, pause_s in entries:
        now += pause_s
        window.add(requests, failures, now)
        everything.append((now, requests, failures))
        volume = window.volume(now)
        recent = [entry for entry in everything if entry[0] > now - 9.0]
        within = [entry for entry in everything if entry[0] > now - 10.0]
        assert sum(entry[1] for entry in recent) <= volume.requests <= sum(entry[1] for entry in within)
        assert sum(entry[2] for entry in recent) <= volume.failures <= sum(entry[2] for entry in within)


def test_memory_does_not_grow_with_what_is_counted() -> None:
    window = Window(1.0)
    for step in range(10_000):
        window.add(1, 0, step / 1000)
    assert window.volume(9.999).requests == pytest.approx(1000, abs=100)
    assert len(window._steps) <= 11


def test_one_that_nobody_asks_does_not_grow() -> None:
    window = Window(10.0)
    for second in range(1000):
        window.add(1, 0, float(second))
    assert len(window._steps) <= STEPS
