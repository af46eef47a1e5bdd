"""`grpc-timeout` is read as its specification says, and written so that no backend gets more than is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.grpc.deadline import UNREADABLE, read_timeout_s, timeout_value


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"250m", 0.25),
        (b"10u", 1e-5),
        (b"5n", 5e-9),
        (b"0m", 0),
        (b"99999999S", 99999999),
    ],
)
def test_each_unit(value: bytes, seconds: float) -> None:
    assert read_timeout_s(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [b"", b"S", b"1", b"1s", b"-1S", b"+1S", b"1.5S", b"123456789S", b" 1S", b"1 S", b"1SS", b"\xb2S"]
)
def test_anything_else_is_unreadable(value: bytes) -> None:
    assert read_timeout_s(value) == UNREADABLE


@given(st.floats(min_value=1e-9, max_value=9e7))
def test_what_is_written_is_at_most_what_is_left_and_nearly_all_of_it(seconds: float) -> None:
    value = timeout_value(seconds)
    written = read_timeout_s(value)
    assert 0 < written <= max(seconds * (1 + 1e-9), 1e-9)
    assert written >= seconds * (1 - 1e-4) - 1e-6


def test_what_is_over_is_written_as_the_least_time() -> None:
    assert timeout_value(-1) == timeout_value(0) == b"1n"
