"""The board's layout is a contract between processes: nothing overlaps, and a successor goes on where a worker stopped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.admin.metrics.totals import Totals
from balance.model import Counted, Why
from balance.retry.decision import NOT_RETRIED, RetryOutcome
from balance.runtime import counters
from balance.runtime.counters import Row

SLOTS = 3


def board(slots: int = SLOTS) -> memoryview:
    """The cells of one row, all zero."""
    return memoryview(bytearray(8 * counters.row_cells(slots))).cast("Q")


def spans() -> dict[str, range]:
    """Every region of a row, by name."""
    head = {name: range(number, number + 1) for name, number in vars(counters).items() if name in HEAD}
    head["WHY"] = range(counters.WHY, counters.WHY + len(Why))
    head["RETRIES_SKIPPED"] = range(counters.RETRIES_SKIPPED, counters.RETRIES_SKIPPED + len(NOT_RETRIED))
    head["REQUEST_SIZE"] = range(counters.REQUEST_SIZE, counters.REQUEST_SIZE + counters.SIZE_SUM + 1)
    head["RESPONSE_SIZE"] = range(counters.RESPONSE_SIZE, counters.RESPONSE_SIZE + counters.SIZE_SUM + 1)
    head["STAGE_COUNTS"] = range(counters.STAGE_COUNTS, counters.STAGE_COUNTS + len(Counted))
    head["EXEMPLARS"] = range(counters.EXEMPLARS, counters.EXEMPLARS + counters.EXEMPLAR * counters.EXEMPLAR_ENTRIES)
    head["SERIES"] = range(counters.series_pairs(board()).start, counters.row_cells(SLOTS))
    for slot in range(SLOTS):
        start = counters.block(slot)
        for name in BLOCK:
            head[f"{name} of {slot}"] = range(start + getattr(counters, name), start + getattr(counters, name) + 1)
        for name in ("UPSTREAM_TIME", "REQUEST_TIME"):
            head[f"{name} of {slot}"] = range(
                start + getattr(counters, name), start + getattr(counters, name) + counters.TIME_SUM + 1
            )
    return head


HEAD = ("PID", "BEAT_US", "CONNECTIONS", "CONNECTIONS_OPEN", "EXCHANGES_OPEN", "BYTES_IN", "BYTES_OUT", "LAG_US", "LAG_MAX_US",
        "LOG_LINES_LOST", "SERIES_LOST", "APPLIED_US", "CUT", "DIALS_FAILED_HERE", "PAUSES_SHORT", "PAUSES_FULL", "PAUSED",
        "CLIENTS_RECLAIMED", "LEAVING", "GENERATION", "PLACE", "STORE_STATE", "STORE_FAILURE", "STORE_LOOKUPS", "STORE_ERRORS",
        "STORE_WRITES_LOST", "LIMITS_STATE", "LIMITS_FAILURE", "LIMITS_BATCHES", "LIMITS_KEYS", "LIMITS_ERRORS",
        "LIMITS_UNSHARED", "TLS_HANDSHAKES", "BUFFER_HELD", "BUFFERED", "BUFFERED_BYTES", "BUFFER_OVERFLOWS",
        "SPANS_EXPORTED", "SPANS_DROPPED")  # fmt: skip
BLOCK = ("ACTIVE", "IDLE", "OPEN", "LEASES", "CONNECTS", "CONNECT_FAILURES", "RETRIES", "FAILURES", "SENT_BYTES",
         "RECEIVED_BYTES", "TRIALS", "TRIALS_PASSED", "TRIALS_FAILED", "BLAMED", "ABORTED", "CREDIT", "WANTED",
         "WAITING", "SESSIONS", "TCP_SESSIONS", "ROUTE_HITS", "ROUTE_LAST_US")  # fmt: skip


def test_no_two_numbers_share_a_cell_and_all_are_in_the_row() -> None:
    taken = [cell for span in spans().values() for cell in span]
    assert len(taken) == len(set(taken))
    assert max(taken) < counters.row_cells(SLOTS)


def test_gauges_are_cells_that_exist() -> None:
    assert set(counters.GAUGES) <= {getattr(counters, name) for name in HEAD}
    assert set(counters.BLOCK_GAUGES) <= {getattr(counters, name) for name in BLOCK}


@given(
    st.integers(0, 2**22 - 1),
    st.integers(0, len(counters.METHODS) - 1),
    st.integers(0, 999),
    st.integers(0, counters.MAX_ROUTE_SLOT),
)
def test_series_key_says_its_parts_and_is_never_the_mark_of_a_free_pair(
    slot: int, method: int, status: int, route: int
) -> None:
    key = counters.series_key(slot, method, status, route)
    assert counters.series_parts(key) == (slot, method, status, route)
    assert counters.series_key(slot, method, status) == 1 << 48 | slot << 20 | method << 10 | status  # as it always was
    assert 0 < key < 2**64


def series(row: memoryview) -> dict[int, int]:
    """What a reader of the board finds: counts by key."""
    return {row[pair]: row[pair + 1] for pair in counters.series_pairs(row) if row[pair]}


def test_requests_are_counted_by_their_series() -> None:
    view = board()
    row = Row(view)
    ok, failed = counters.series_key(1, 1, 200), counters.series_key(2, 1, 502)
    for key in (ok, failed, ok, ok):
        row.count_request(key)
    assert series(view) == {ok: 3, failed: 1}


def test_successor_goes_on_counting_where_the_last_worker_stopped() -> None:
    view = board()
    first, second, third = (counters.series_key(1, 1, status) for status in (200, 404, 500))
    before = Row(view)
    before.count_request(first)
    before.count_request(second)
    after = Row(view)
    after.count_request(second)
    after.count_request(third)
    assert series(view) == {first: 1, second: 2, third: 1}


@given(st.integers(1, 20_000))
def test_series_have_room_for_a_few_of_every_backend_behind_the_blocks(slots: int) -> None:
    pairs = counters.series_pairs(memoryview(bytearray(counters.row_cells(slots))))
    assert pairs.start == counters.block(slots)
    assert pairs.stop == counters.row_cells(slots)
    assert len(pairs) == counters.SERIES_ANYWAY + counters.SERIES_PER_BACKEND * slots


def test_series_that_find_no_room_are_counted_as_lost_and_overwrite_nothing() -> None:
    view = board()
    row = Row(view)
    count = len(counters.series_pairs(view))
    for number in range(count + 5):
        row.count_request(counters.series_key(number, 1, 200))
    row.count_request(counters.series_key(0, 1, 200))
    assert view[counters.SERIES_LOST] == 5
    assert len(series(view)) == count
    assert series(view)[counters.series_key(0, 1, 200)] == 2
    assert not any(view[counters.BACKENDS : counters.block(SLOTS)])
    Row(view).count_request(counters.series_key(99_999, 1, 200))
    assert view[counters.SERIES_LOST] == 6


@pytest.mark.parametrize(
    ("us", "bucket"), [(0, 0), (500, 0), (501, 1), (1000, 1), (10_000_000, 13), (10_000_001, 14), (10**12, 14)]
)
def test_time_falls_into_the_first_bucket_that_holds_it(us: int, bucket: int) -> None:
    view = board()
    base = counters.block(1) + counters.REQUEST_TIME
    Row(view).observe_time(base, us)
    assert {cell - base: value for cell, value in enumerate(view) if value} == {bucket: 1} | (
        {counters.TIME_SUM: us} if us else {}
    )


@pytest.mark.parametrize(("size", "bucket"), [(0, 0), (100, 0), (101, 1), (100_000_000, 6), (100_000_001, 7)])
def test_size_falls_into_the_first_bucket_that_holds_it(size: int, bucket: int) -> None:
    view = board()
    Row(view).observe_size(counters.RESPONSE_SIZE, size)
    said = {cell - counters.RESPONSE_SIZE: value for cell, value in enumerate(view) if value}
    assert said == {bucket: 1} | ({counters.SIZE_SUM: size} if size else {})


def test_moved_bytes_are_counted_for_the_worker_and_for_the_backend() -> None:
    view = board()
    counters.count_moved(Row(view), counters.block(2), 3, 5)
    block = counters.block(2)
    assert (view[counters.BYTES_IN], view[counters.BYTES_OUT]) == (3, 5)
    assert (view[block + counters.SENT_BYTES], view[block + counters.RECEIVED_BYTES]) == (3, 5)


def test_every_reason_for_not_trying_again_has_its_cell() -> None:
    assert {counters.skipped(why) for why in NOT_RETRIED} == {
        *range(counters.RETRIES_SKIPPED, counters.RETRIES_SKIPPED + len(NOT_RETRIED))
    }
    assert not {RetryOutcome.NEVER_NEEDED, RetryOutcome.MADE} & {*NOT_RETRIED}


def test_methods_that_clients_invent_share_one_code() -> None:
    assert counters.METHODS[counters.METHOD_OTHER] == "other"
    assert counters.METHOD_CODES.get(b"BREW", counters.METHOD_OTHER) == counters.METHOD_OTHER
    assert counters.METHODS[counters.METHOD_CODES[b"GET"]] == "GET"


def test_times_are_counted_by_the_bounds_that_the_row_is_given() -> None:
    row = counters.Row(board(), (1000, 2000))
    for us in (999, 1000, 1001, 2001):
        row.observe_time(counters.block(1) + counters.UPSTREAM_TIME, us)
        row.count_exchange(1, counters.NO_ROUTE, b"GET", 200, Why.OK, us, us - 500, 1, 1)
    for base, counted, total in (
        (counters.UPSTREAM_TIME, [2 + 3, 1 + 1, 1], 5001 + 3001),
        (counters.REQUEST_TIME, [2, 1, 1], 5001),
    ):
        first = counters.block(1) + base
        assert row.cells[first : first + 3].tolist() == counted
        assert row.cells[first + counters.TIME_SUM] == total


def test_the_last_trace_of_each_bucket_is_remembered() -> None:
    row = counters.Row(board())
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
def test_any_number_of_traces_needs_no_more_cells(notes: list[tuple[int, int, bytes]]) -> None:
    row = counters.Row(board())
    for moment, (slot, us, trace_id) in enumerate(notes, 1):
        row.note_exemplar(slot, us, trace_id, float(moment))
    found = Totals([row.cells]).examples()
    assert len(found) <= min(len(notes), counters.EXEMPLAR_ENTRIES)
    assert not any(row.cells[counters.BACKENDS :])
    given_ids = {trace_id.hex() for _, _, trace_id in notes}
    assert {example.trace_id for example in found.values()} <= given_ids
