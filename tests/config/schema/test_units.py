"""Parsing and formatting of durations and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.schema.units import duration_s, format_duration, size_bytes


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5),
        ("5s", 5.0),
        ("1m", 60.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1.5s", 1.5),
        ("1d", 86400.0),
        ("0", 0.0),
        ("0s", 0.0),
        (10, 10.0),
        (0, 0.0),
        ("1s200ms", 1.2),
    ],
)
def test_a_duration_is_seconds(written: object, seconds: float) -> None:
    assert duration_s(written) == seconds


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("5x", "'5x' is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
        ("5", "'5' is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
        ("5 s", "'5 s' is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
        ("-5s", "'-5s' is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
        ("", "'' is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
        (-1, "-1 is negative; a duration is like 500ms, 5s, 1m30s or 1h"),
        (0.5, "0.5 is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
        (True, "True is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
        ("9000h", "'9000h' is longer than 366d"),
    ],
)
def test_what_is_no_duration_is_quoted(written: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        duration_s(written)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("written", "count"),
    [("512B", 512), ("64KB", 65536), ("10MB", 10485760), ("1.5kb", 1536), ("1 GiB", 1 << 30), (4096, 4096), ("0", 0)],
)
def test_a_size_is_bytes_and_a_kilobyte_is_1024(written: object, count: int) -> None:
    assert size_bytes(written) == count


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("64", "'64' is not a size; write one like 512B, 64KB or 10MB"),
        ("10 potatoes", "'10 potatoes' is not a size; write one like 512B, 64KB or 10MB"),
        (-1, "-1 is negative; a size is like 512B, 64KB or 10MB"),
        ("2000GB", "'2000GB' is larger than 1024GB"),
        (False, "False is not a size; write one like 512B, 64KB or 10MB"),
    ],
)
def test_what_is_no_size_is_quoted(written: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        size_bytes(written)
    assert str(caught.value) == message


@given(st.integers(min_value=0, max_value=366 * 86_400_000))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    assert duration_s(format_duration(milliseconds / 1000)) == milliseconds / 1000


def test_a_duration_is_written_shortly() -> None:
    assert [format_duration(s) for s in (90, 0.5, 3600, 0)] == ["1m30s", "500ms", "1h", "0"]
