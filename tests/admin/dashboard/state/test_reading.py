"""Readings: sums over rows, quantiles, and series."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.admin.dashboard.state.reading import SeriesReader, quantile, read, rounded
from balance.model import Why
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.row import Row


@given(st.lists(st.lists(st.integers(0, (1 << 60) - 1), min_size=3, max_size=3), min_size=1, max_size=4))
def test_sums_are_exact_in_every_cell(values: list[list[int]]) -> None:
    board = Board(len(values), 3)
    cells = (counters.CONNECTIONS, counters.block(0) + counters.LEASES, counters.block(2) + counters.BLOCK - 1)
    for row, own in zip(board.rows, values, strict=True):
        for cell, value in zip(cells, own, strict=True):
            row[cell] = value
        for cell in range(counters.EXEMPLARS, counters.BACKENDS):
            row[cell] = (1 << 64) - 1  # halves of trace ids: no counters
    reading = read(board.rows, 3, 1.0)
    first, second, third = (sum(column) for column in zip(*values, strict=True))
    assert reading.head[counters.CONNECTIONS] == first
    assert reading.column(counters.LEASES) == [second, 0, 0]
    assert reading.block(2)[counters.BLOCK - 1] == third
    assert sum(reading.blocks) == second + third


def test_a_slot_that_came_later_has_no_past() -> None:
    board = Board(1, 2, max_slots=5)
    reading = read(board.rows, 2, 1.0)
    assert reading.block(4) == [0] * counters.BLOCK
    assert reading.cell(4, counters.LEASES) == 0


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.0005),
        ([0, 10, 0], 0.5, 0.0015),
        ([5, 5, 0], 0.5, 0.001),
        ([0, 0, 7], 0.99, 0.002),  # above the last bound
        ([98, 1, 1], 0.99, 0.002),
    ],
)
def test_quantiles(buckets: list[int], share: float, expected: float | None) -> None:
    found = quantile(buckets, (1000, 2000), share)
    assert found == pytest.approx(expected) if expected is not None else found is None


@given(st.floats(1e-9, 1e15))
def test_rounding_keeps_three_digits(value: float) -> None:
    assert rounded(value) == pytest.approx(value, rel=0.0051)
    assert len(f"{rounded(value):e}".partition("e")[0].rstrip("0")) <= 4


def test_series_are_read_on_where_they_ended() -> None:
    board = Board(2, 3)
    rows = [Row(cells) for cells in board.rows]
    reader = SeriesReader()
    keys = [counters.series_key(1, 1, 200), counters.series_key(2, 1, 503)]
    rows[0].count_request(keys[0])
    assert reader.read(board.rows) == ({keys[0]: 1}, {})
    rows[0].count_request(keys[1])
    rows[1].count_request(keys[1])
    rows[1].count_request(keys[0])
    failed = counters.series_key(2, counters.FAILED_TRIES, Why.CONNECT_REFUSED)
    rows[1].count_request(failed)
    assert reader.read(board.rows) == ({keys[0]: 2, keys[1]: 2}, {failed: 1})
    assert reader.parts(keys[1]) == (2, 1, 503, 0)
