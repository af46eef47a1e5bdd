"""The layout of one worker's row on the board: which 64-bit cell holds which counter, gauge or histogram.

A row has one writer, its worker, so an increment needs no lock; control adds the rows up. Counts are passed in no other way:
no message carries one, and a worker that dies loses none.

Gauges (marked so) are written by a timer; the supervisor zeroes them when the worker is gone.
"""

from __future__ import annotations

from typing import Final

from balance.config.model import MAX_TIME_BUCKETS as MAX_TIME_BUCKETS
from balance.model import Counted, Why
from balance.retry.decision import NOT_RETRIED, RetryOutcome

# --- the head of a row --------------------------------------------------------------------------
PID: Final = 0  # gauge
BEAT_US: Final = 1  # gauge: the monotonic clock at the last tick, microseconds; a stuck worker does not update it
CONNECTIONS: Final = 2  # client connections accepted
CONNECTIONS_OPEN: Final = 3  # gauge
EXCHANGES_OPEN: Final = 4  # gauge: requests being served
BYTES_IN: Final = 5  # from clients, in TCP mode and tunnels; HTTP's are in the sum of REQUEST_SIZE
BYTES_OUT: Final = 6  # to clients, likewise; HTTP's are in the sum of RESPONSE_SIZE
LAG_US: Final = 7  # gauge: how late the last tick came, microseconds
LAG_MAX_US: Final = 8  # gauge: the worst of the last second
LOG_LINES_LOST: Final = 9  # access log lines dropped because the output was too slow or failed
SERIES_LOST: Final = 10  # requests counted in no series because the table was full
APPLIED_US: Final = 11  # gauge: monotonic time of the states applied here; all backends' gauges were written since
CUT: Final = 12  # requests and connections cut at the deadline of a drain
PAUSES_SHORT: Final = 13  # pauses of accepting on a listening socket for want of descriptors
PAUSES_FULL: Final = 14  # the same, because the listener's max_clients were connected
PAUSED: Final = 15  # gauge: listening sockets where accepting is paused now
CLIENTS_RECLAIMED: Final = 16  # idle clients that were closed to make room for others
DIALS_FAILED_HERE: Final = 17  # dials that failed for want of descriptors, ports or memory on this machine

RETRIES_SKIPPED: Final = 18  # failed tries that were not resent: one cell for each reason in NOT_RETRIED
LEAVING: Final = 29  # gauge: 1 while the worker drains
GENERATION: Final = 30  # gauge: the number of the generation that it serves
PLACE: Final = 31  # gauge: 1 + the worker's number, which its successor takes over; 0 in a row that is not in use

# The shared store; behind RESPONSE_SIZE.
STORE_STATE: Final = 121  # gauge: the state of the shared store, a StoreState; 0 where there is none
STORE_FAILURE: Final = 122  # gauge: why it can't be used, a Failure of it
STORE_LOOKUPS: Final = 123  # sessions asked for there
STORE_ERRORS: Final = 124  # commands that failed, or were not answered in time
TLS_HANDSHAKES: Final = 126  # of clients, that succeeded
STORE_WRITES_LOST: Final = 125  # writes that were dropped because too many waited

BUFFER_HELD: Final = 127  # gauge: bytes of bodies that are buffered now, where that is configured

# Rate limits that several machines share; behind REQUEST_SIZE.
LIMITS_STATE: Final = 105  # gauge: how their store stands, a StoreState; 0 where there are none
LIMITS_FAILURE: Final = 106  # gauge: why it can't be used, a Failure of it
LIMITS_BATCHES: Final = 107  # exchanges with it
LIMITS_KEYS: Final = 108  # keys that were exchanged
LIMITS_ERRORS: Final = 109  # exchanges that failed
LIMITS_UNSHARED: Final = 110  # admitted requests that no other machine will hear of, because too many keys waited

# The gauges that the supervisor zeroes when a worker is gone.
GAUGES: Final = (PID, BEAT_US, CONNECTIONS_OPEN, EXCHANGES_OPEN, LAG_US, LAG_MAX_US, PAUSED, LEAVING, GENERATION, PLACE,
          APPLIED_US, STORE_STATE, STORE_FAILURE, LIMITS_STATE, LIMITS_FAILURE, BUFFER_HELD)  # fmt: skip

WHY: Final = 32  # how requests and connections ended: one cell for each Why
REQUEST_SIZE: Final = 96  # histogram over SIZE_BUCKETS, then the sum in bytes
RESPONSE_SIZE: Final = 112  # the same

# --- features that are paid for where they are configured: cells 128 to 191 -------------
STAGE_COUNTS: Final = 128  # one cell for each Counted of stages
BUFFERED: Final = 144  # request bodies that were read whole before a backend was chosen
BUFFERED_BYTES: Final = 145  # their bytes
BUFFER_OVERFLOWS: Final = 146  # bodies that were to be buffered, and were streamed: too long, or no room
SPANS_EXPORTED: Final = 152  # spans that the receiver of traces has taken
SPANS_DROPPED: Final = 153  # spans that were not sent, or not taken

# --- exemplars: the last traced request of each histogram bucket, as far as they do not collide -------
# Cells of an entry: when (microseconds of the epoch; 0 while it is written), which bucket, the value in microseconds, the
# trace id in two halves.
EXEMPLARS: Final = 192
EXEMPLAR: Final = 5
EXEMPLAR_ENTRIES: Final = 256

# --- one block for each backend slot; slot 0 is for "no backend was chosen" -----------
BACKENDS: Final = EXEMPLARS + EXEMPLAR * EXEMPLAR_ENTRIES
BLOCK: Final = 64
ACTIVE: Final = 0  # gauge: leases held
IDLE: Final = 1  # gauge: parked connections
OPEN: Final = 2  # gauge: connections, parked or not
LEASES: Final = 3  # leases taken
CONNECTS: Final = 4
CONNECT_FAILURES: Final = 5
RETRIES: Final = 6  # tries that failed here and were resent
FAILURES: Final = 7  # leases that ended with Outcome.FAILED
SENT_BYTES: Final = 8
RECEIVED_BYTES: Final = 9
TRIALS: Final = 10  # gauge: leases that are trials of a returning backend or a half-open breaker
TRIALS_PASSED: Final = 11
TRIALS_FAILED: Final = 12
BLAMED: Final = 13  # leases that count against its health: failures and bad statuses, where the pool has health
ABORTED: Final = 14  # leases that ended with Outcome.ABORTED, which says nothing about the backend
COPIES: Final = 15  # copies of requests that went there as to a mirror: no leases, and no traffic of clients
UPSTREAM_TIME: Final = 16  # histogram over TIME_BUCKETS_US, then the sum in microseconds: from the choice to the reply's end
REQUEST_TIME: Final = 32  # the same, from the request's first byte to the reply's last
CREDIT: Final = 48  # gauge: permits that this worker holds, where there is a limit
WANTED: Final = 49  # gauge: 1 while this worker wants one more permit
WAITING: Final = 50  # gauge: requests in this worker's queue of a pool, in the block of the pool's first backend
SESSIONS: Final = 51  # client sessions that began here, where sessions are kept
TCP_SESSIONS: Final = 52  # TCP sessions that began here; in slot 0 those that found no backend
# In the block of a route's slot, or of a rule's:
ROUTE_HITS: Final = 53  # requests that took the route, or that the rule decided
ROUTE_LAST_US: Final = 54  # gauge: when the last of them ended, on the monotonic clock, microseconds
# In the block of a route's slot:
ROUTE_MIRRORED: Final = 55  # copies of its requests that a mirror answered
ROUTE_MIRROR_DROPPED: Final = 56  # copies that were not sent, or not answered

# In the block of a listener's slot: connections that were refused when they were accepted.
REFUSED_BLOCKED: Final = 57  # by access lists
REFUSED_COUNT: Final = 58  # by the connection guard: the address has too many
REFUSED_RATE: Final = 59  # likewise: it opens too many a second
REFUSED_PROXY_HEADER: Final = 60  # no good PROXY header came
# In the block of a route's slot, or of a listener's without routes:
RATE_LIMITED: Final = 61  # requests that were refused by a rate limit
RATE_REPORTED: Final = 62  # that would have been refused, were the limit not report_only

BLOCK_GAUGES: Final = (ACTIVE, IDLE, OPEN, TRIALS, CREDIT, WANTED, WAITING)

# --- behind the blocks, the series table: requests by backend, route, method and status ---------------
# Pairs of (key, count). A worker takes the next free pair for a combination that it counts for the first time, so the table has
# no entries for combinations that never occur.
SERIES_ANYWAY: Final = 2048  # pairs, whatever the number of backends
SERIES_PER_BACKEND: Final = 4  # more pairs for each slot
NO_ROUTE: Final = 1 << 48  # the part of a series' key that says its route: none
MAX_ROUTE_SLOT: Final = (1 << 21) - 1

# Where metrics.buckets does not say otherwise.
TIME_BUCKETS_US: Final = (500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
                   1_000_000, 2_500_000, 5_000_000, 10_000_000)  # fmt: skip
TIME_SUM: Final = MAX_TIME_BUCKETS + 1  # after the buckets and the overflow bucket
SIZE_BUCKETS: Final = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
SIZE_SUM: Final = len(SIZE_BUCKETS) + 1

METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other")
METHOD_CODES: Final = {name.encode(): code for code, name in enumerate(METHODS)}
METHOD_OTHER: Final = METHODS.index("other")  # other methods share one label, so that clients can't add labels

# In place of a series' method: not requests, but failed tries at the backend; in place of their status is the Why.
FAILED_TRIES: Final = 1000
# Likewise gRPC calls; in place of their status is the gRPC status.
GRPC_CALLS: Final = 1001

assert RETRIES_SKIPPED + len(NOT_RETRIED) <= LEAVING
assert len(Why) <= REQUEST_SIZE - WHY
assert REQUEST_SIZE + SIZE_SUM < RESPONSE_SIZE
assert REQUEST_SIZE + SIZE_SUM < LIMITS_STATE
assert LIMITS_UNSHARED < RESPONSE_SIZE
assert RESPONSE_SIZE + SIZE_SUM < STORE_STATE
assert UPSTREAM_TIME + TIME_SUM < REQUEST_TIME
assert REQUEST_TIME + TIME_SUM < CREDIT
assert max(BLOCK_GAUGES) < BLOCK
assert len(TIME_BUCKETS_US) <= MAX_TIME_BUCKETS
assert STAGE_COUNTS + len(Counted) <= BUFFERED


def row_cells(backend_slots: int) -> int:
    """The number of cells of a row with `backend_slots` slots, slot 0 included."""
    return BACKENDS + BLOCK * backend_slots + 2 * (SERIES_ANYWAY + SERIES_PER_BACKEND * backend_slots)


def series_pairs(row: memoryview) -> range:
    """The first cell of each pair of the series table, in a row of row_cells() cells."""
    slots = (len(row) - BACKENDS - 2 * SERIES_ANYWAY) // (BLOCK + 2 * SERIES_PER_BACKEND)
    return range(BACKENDS + BLOCK * slots, len(row), 2)


def block(slot: int) -> int:
    """The first cell of the block of a backend slot."""
    return BACKENDS + BLOCK * slot


def series_route(route_slot: int) -> int:
    """The part of a series' key that says its route; 0 is no route, and so is a slot above MAX_ROUTE_SLOT."""
    # Bits 42 to 47 and 49 to 63: those that a key without a route does not use, so that boards of older versions can be read.
    return NO_ROUTE | (route_slot & 0x3F) << 42 | (route_slot >> 6) << 49 if route_slot <= MAX_ROUTE_SLOT else NO_ROUTE


def series_key(slot: int, method: int, status: int, route_slot: int = 0) -> int:
    """The key of a series; never 0, which marks a free pair."""
    return series_route(route_slot) | slot << 20 | method << 10 | status


def series_parts(key: int) -> tuple[int, int, int, int]:
    """(slot, method code, status, the route's slot or 0) of a key."""
    return key >> 20 & 0x3FFFFF, key >> 10 & 0x3FF, key & 0x3FF, key >> 42 & 0x3F | (key >> 49) << 6


def skipped(why: RetryOutcome) -> int:
    """The cell that counts failed tries not resent for this reason."""
    return RETRIES_SKIPPED + why - NOT_RETRIED[0]
