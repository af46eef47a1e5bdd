"""Spans of time as the status writes them."""

import pytest

from balance.side.status import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (59.9, "59s"), (60, "1m0s"), (185, "3m5s"), (7205, "2h0m5s"), (94_000, "1d2h6m")],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
