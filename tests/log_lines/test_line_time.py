"""The time of a line is that of its end, also over the turn of a second and when the clock is set back."""

import pytest

from balance.log_lines.line_time import IsoTime, apache_time

TIMES = [
    (0.0, "1970-01-01T00:00:00.000Z"),
    (1_764_412_345.9999, "2025-11-29T10:32:25.999Z"),
    (1_764_412_346.0, "2025-11-29T10:32:26.000Z"),
    (1_764_412_340.5, "2025-11-29T10:32:20.500Z"),
]


def test_time_is_iso_8601_whatever_was_asked_before() -> None:
    clock = IsoTime()
    for now, text in [*TIMES, *reversed(TIMES), *TIMES]:
        assert clock.text(now) == text


@pytest.mark.parametrize("now", [0, 1_764_412_345])
def test_apaches_time_has_the_offset(now: int) -> None:
    assert len(apache_time(now)) == len("29/Nov/2025:10:32:25 +0000")
