"""The board's layout is a contract between processes: nothing overlaps, and a successor goes on where a worker stopped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from balance.model import Counted, Why
from balance.retry.decision import NOT_RETRIED, RetryOutcome
from balance.runtime import counters

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


@given(st.integers(1, 20_000))
def test_series_have_room_for_a_few_of_every_backend_behind_the_blocks(slots: int) -> None:
    pairs = counters.series_pairs(memoryview(bytearray(counters.row_cells(slots))))
    assert pairs.start == counters.block(slots)
    assert pairs.stop == counters.row_cells(slots)
    assert len(pairs) == counters.SERIES_ANYWAY + counters.SERIES_PER_BACKEND * slots


def test_every_reason_for_not_trying_again_has_its_cell() -> None:
    assert {counters.skipped(why) for why in NOT_RETRIED} == {
        *range(counters.RETRIES_SKIPPED, counters.RETRIES_SKIPPED + len(NOT_RETRIED))
    }
    assert not {RetryOutcome.NEVER_NEEDED, RetryOutcome.MADE} & {*NOT_RETRIED}


def test_methods_that_clients_invent_share_one_code() -> None:
    assert counters.METHODS[counters.METHOD_OTHER] == "other"
    assert counters.METHOD_CODES.get(b"BREW", counters.METHOD_OTHER) == counters.METHOD_OTHER
    assert counters.METHODS[counters.METHOD_CODES[b"GET"]] == "GET"
