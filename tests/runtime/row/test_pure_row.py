"""What a row counts, whichever it is: the series, histograms, bytes and exemplars that a reader of the board finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.admin.metrics.totals import Totals
from balance.model import Why
from balance.runtime import counters
from balance.runtime.row.pure_row import Row

SLOTS = 3


def board(slots: int = SLOTS) -> memoryview:
    """The cells of one row, all zero."""
    return memoryview(bytearray(8 * counters.row_cells(slots))).cast("Q")


def series(row: memoryview) -> dict[int, int]:
    """What a reader of the board finds: counts by key."""
    return {row[pair]: row[pair + 1] for pair in counters.series_pairs(row) if row[pair]}


def test_requests_are_counted_by_their_series(row_class: type[Row]) -> None:
    view = board()
    row = row_class(view)
    ok, failed = counters.series_key(1, 1, 200), counters.series_key(2, 1, 502)
    for key in (ok, failed, ok, ok):
        row.count_request(key)
    assert series(view) == {ok: 3, failed: 1}


def test_successor_goes_on_counting_where_the_last_worker_stopped(row_class: type[Row]) -> None:
    view = board()
    first, second, third = (counters.series_key(1, 1, status) for status in (200, 404, 500))
    before = row_class(view)
    before.count_request(first)
    before.count_request(second)
    after = row_class(view)
    after.count_request(second)
    after.count_request(third)
    assert series(view) == {first: 1, second: 2, third: 1}


def test_series_that_find_no_room_are_counted_as_lost_and_overwrite_nothing(row_class: type[Row]) -> None:
    view = board()
    row = row_class(view)
    count = len(counters.series_pairs(view))
    for number in range(count + 5):
        row.count_request(counters.series_key(number, 1, 200))
    row.count_request(counters.series_key(0, 1, 200))
    assert view[counters.SERIES_LOST] == 5
    assert len(series(view)) == count
    assert series(view)[counters.series_key(0, 1, 200)] == 2
    assert not any(view[counters.BACKENDS : counters.block(SLOTS)])
    row_class(view).count_request(counters.series_key(99_999, 1, 200))
    assert view[counters.SERIES_LOST] == 6


@pytest.mark.parametrize(
    ("us", "bucket"), [(0, 0), (500, 0), (501, 1), (1000, 1), (10_000_000, 13), (10_000_001, 14), (10**12, 14)]
)
def test_time_falls_into_the_first_bucket_that_holds_it(row_class: type[Row], us: int, bucket: int) -> None:
    view = board()
    base = counters.block(1) + counters.REQUEST_TIME
    row_class(view).observe_time(base, us)
    assert {cell - base: value for cell, value in enumerate(view) if value} == {bucket: 1} | (
        {counters.TIME_SUM: us} if us else {}
    )


@pytest.mark.parametrize(("size", "bucket"), [(0, 0), (100, 0), (101, 1), (100_000_000, 6), (100_000_001, 7)])
def test_size_falls_into_the_first_bucket_that_holds_it(row_class: type[Row], size: int, bucket: int) -> None:
    view = board()
    row_class(view).observe_size(counters.RESPONSE_SIZE, size)
    said = {cell - counters.RESPONSE_SIZE: value for cell, value in enumerate(view) if value}
    assert said == {bucket: 1} | ({counters.SIZE_SUM: size} if size else {})


def test_moved_bytes_are_counted_for_the_worker_and_for_the_backend(row_class: type[Row]) -> None:
    view = board()
    row_class(view).count_moved(counters.block(2), 3, 5)
    block = counters.block(2)
    assert (view[counters.BYTES_IN], view[counters.BYTES_OUT]) == (3, 5)
    assert (view[block + counters.SENT_BYTES], view[block + counters.RECEIVED_BYTES]) == (3, 5)


def test_times_are_counted_by_the_bounds_that_the_row_is_given(row_class: type[Row]) -> None:
    row = row_class(board(), (1000, 2000))
    for us in (999, 1000, 1001, 2001):
        row.observe_time(counters.block(1) + counters.UPSTREAM_TIME, us)
        row.count_exchange(1, counters.NO_ROUTE, b"GET", 200, Why.OK, us, us - 500, 1, 1, 0)
    for base, counted, total in (
        (counters.UPSTREAM_TIME, [2 + 3, 1 + 1, 1], 5001 + 3001),
        (counters.REQUEST_TIME, [2, 1, 1], 5001),
    ):
        first = counters.block(1) + base
        assert row.cells[first : first + 3].tolist() == counted
        assert row.cells[first + counters.TIME_SUM] == total


def test_the_last_trace_of_each_bucket_is_remembered(row_class: type[Row]) -> None:
    row = row_class(board())
    totals = Totals([row.cells])
    assert totals.examples() == {}
    one, other = bytes(range(16)), bytes(range(240, 256))
    row.note_exemplar(1, 700, one, 1000.5)
    row.note_exemplar(1, 20_000_000, one, 1001.0)
    row.note_exemplar(2, 20_000_000, other, 1002.0)
    row.note_exemplar(1, 800, other, 1003.25)
    assert totals.examples() == {
        (1, 1): (other.hex(), 0.0008, 1003.25), (1, 14): (one.hex(), 20.0, 1001.0), (2, 14): (other.hex(), 20.0, 1002.0),
    }  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 2**21), st.integers(0, 2**40), st.binary(min_size=16, max_size=16)), max_size=600))
def test_any_number_of_traces_needs_no_more_cells(row_class: type[Row], notes: list[tuple[int, int, bytes]]) -> None:
    row = row_class(board())
    for moment, (slot, us, trace_id) in enumerate(notes, 1):
        row.note_exemplar(slot, us, trace_id, float(moment))
    found = Totals([row.cells]).examples()
    assert len(found) <= min(len(notes), counters.EXEMPLAR_ENTRIES)
    assert not any(row.cells[counters.BACKENDS :])
    given_ids = {trace_id.hex() for _, _, trace_id in notes}
    assert {example.trace_id for example in found.values()} <= given_ids


def test_a_request_is_counted_for_its_route_where_it_has_one(row_class: type[Row]) -> None:
    row = row_class(board())
    hits = counters.block(2) + counters.ROUTE_HITS
    for block in (0, counters.block(2), counters.block(2)):
        row.count_exchange(1, counters.series_route(2), b"GET", 200, Why.OK, 10, 10, 1, 1, block)
    assert [
        cell for cell in range(counters.BACKENDS, counters.block(SLOTS)) if row.cells[cell] and cell > counters.block(2)
    ] == [hits]
    assert row.cells[hits] == 2


def test_free_pairs_have_no_key_and_so_no_series_has_that(row_class: type[Row]) -> None:
    row = row_class(board())
    with pytest.raises(ValueError, match="key"):
        row.count_request(0)
    assert not any(row.cells)


def test_a_number_that_leaves_its_cell_raises_and_the_cell_stays(row_class: type[Row]) -> None:
    row = row_class(board())
    row.cells[counters.REQUEST_SIZE + counters.SIZE_SUM] = 2**64 - 1
    with pytest.raises(ValueError):
        row.observe_size(counters.REQUEST_SIZE, 1)
    assert row.cells[counters.REQUEST_SIZE + counters.SIZE_SUM] == 2**64 - 1
    with pytest.raises(ValueError):
        row.observe_time(counters.block(1) + counters.REQUEST_TIME, -1)
    assert row.cells[counters.block(1) + counters.REQUEST_TIME + counters.TIME_SUM] == 0


def test_memory_that_was_released_is_no_row(row_class: type[Row]) -> None:
    view = board()
    view.release()
    with pytest.raises(ValueError):
        row_class(view)
