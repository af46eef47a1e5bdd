"""Text and numbers in cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.cli.top.cells import clipped, count_text, filled, percent_text, time_text, width_of, wrapped


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "-"), (0, "0"), (0.04, "0.0"), (0.3, "0.3"), (3, "3"), (9.96, "10"), (1234.4, "1234"), (9999.4, "9999"),
        (12_345, "12.3k"), (99_960, "100k"), (123_456, "123k"), (999_960, "1.0M"), (2.5e9, "2.5G"), (1e20, "lots"),
    ],
)  # fmt: skip
def test_counts(count: float | None, shown: str) -> None:
    assert count_text(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"), (0.0, "0.0ms"), (0.0012, "1.2ms"), (0.0123, "12ms"), (0.9994, "999ms"), (0.9996, "1.0s"), (9.96, "10s"),
        (99, "99s"), (150, "2m"), (3723, "62m"), (7200, "2h"), (86_400 * 3, "72h"), (86_400 * 30, "30d"),
    ],
)  # fmt: skip
def test_times(seconds: float | None, shown: str) -> None:
    assert time_text(seconds) == shown


@given(st.floats(min_value=0, max_value=1e14))
def test_numbers_take_five_cells_at_most(value: float) -> None:
    assert len(count_text(value)) <= 5
    assert len(time_text(min(value, 1e9))) <= 6
    assert len(percent_text(min(value, 1.0))) <= 3


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab~"),
        ("abc", 0, ""),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢~"),
        ("e\u0301x", 2, "e\u0301x"),
    ],
)
def test_what_is_too_wide_is_cut(text: str, width: int, shown: str) -> None:
    assert clipped(text, width) == shown


@given(st.text(), st.integers(0, 40))
def test_a_cell_is_as_wide_as_it_should_be(text: str, width: int) -> None:
    assert width_of(clipped(text, width)) <= width
    assert width_of(filled(text, width)) == width_of(filled(text, width, to_right=True)) == width


@pytest.mark.parametrize(
    ("text", "width", "count", "lines"),
    [
        ("one two three", 7, 5, ["one two", "three"]),
        ("one two three", 8, 1, ["one two~"]),
        ("abcdefgh", 3, 9, ["abc", "def", "gh"]),
        ("", 5, 2, []),
    ],
)
def test_sentences_are_broken_at_blanks(text: str, width: int, count: int, lines: list[str]) -> None:
    assert wrapped(text, width, count) == lines


@given(st.text(alphabet="ab 漢", max_size=60), st.integers(1, 20), st.integers(1, 5))
def test_lines_of_a_sentence_fit(text: str, width: int, count: int) -> None:
    lines = wrapped(text, width, count)
    assert len(lines) <= count
    assert all(width_of(line) <= max(width, 2) for line in lines)
