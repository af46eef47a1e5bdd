"""The statuses of gRPC calls, and which of them stand for what happened here.

https://github.com/grpc/grpc/blob/master/doc/statuscodes.md and doc/http-grpc-status-mapping.md.
"""

from __future__ import annotations

from typing import Final

from balance.model import Why

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
ALREADY_EXISTS: Final = 6
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
ABORTED: Final = 10
OUT_OF_RANGE: Final = 11
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DATA_LOSS: Final = 15
UNAUTHENTICATED: Final = 16

NAMES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
NONE: Final = -1  # no status came

# Statuses by which a call may be sent again, as Envoy's `retry_on` names them.
RETRIABLE: Final[dict[str, int]] = {
    "cancelled": CANCELLED,
    "deadline-exceeded": DEADLINE_EXCEEDED,
    "internal": INTERNAL,
    "resource-exhausted": RESOURCE_EXHAUSTED,
    "unavailable": UNAVAILABLE,
}

# What a status that is the backend's fault is in HTTP; DEADLINE_EXCEEDED only where the backend had its time. Others are about
# the call (PERMISSION_DENIED), or its client's doing (CANCELLED), as 4xx are.
_FAILURES: Final[dict[int, int]] = {UNKNOWN: 500, INTERNAL: 500, DATA_LOSS: 500, UNAVAILABLE: 503, DEADLINE_EXCEEDED: 504}

# Status 500 is INTERNAL by HTTP/2's rules for broken streams, not of that table, which has UNKNOWN: our own 500 is a bug here.
_OF_HTTP: Final[dict[int, int]] = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    408: CANCELLED,
    413: RESOURCE_EXHAUSTED,
    414: RESOURCE_EXHAUSTED,
    429: UNAVAILABLE,
    431: RESOURCE_EXHAUSTED,
    499: CANCELLED,
    500: INTERNAL,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}
_OF_WHY: Final[dict[int, int]] = {
    Why.TOTAL_TIMEOUT: DEADLINE_EXCEEDED,
    Why.RATE_LIMITED: RESOURCE_EXHAUSTED,
    Why.TOO_MANY_CONNECTIONS: RESOURCE_EXHAUSTED,
    Why.CONNECTION_RATE: RESOURCE_EXHAUSTED,
    Why.BODY_TOO_LARGE: RESOURCE_EXHAUSTED,
    Why.HEADER_TOO_LARGE: RESOURCE_EXHAUSTED,
    Why.URI_TOO_LONG: RESOURCE_EXHAUSTED,
    Why.LIMIT: RESOURCE_EXHAUSTED,
    Why.BAD_RESPONSE: INTERNAL,
}


def status_of(status: int, why: Why) -> int:
    """The gRPC status of a reply that Balance makes itself, with this status in HTTP."""
    found = _OF_WHY.get(why)
    return _OF_HTTP.get(status, UNKNOWN) if found is None else found


def failure_of(status: int, *, had_time: bool) -> int:
    """The status in HTTP that a backend's gRPC status counts as for its health: one of 5xx for a failure, else 200.

    `had_time`: the backend had at least half of the call's time. NONE is a failure: the reply ended without a status.
    """
    if status == NONE:
        return 502
    if status == DEADLINE_EXCEEDED and not had_time:
        return 200
    return _FAILURES.get(status, 200)


def read_status(value: bytes) -> int:
    """The number in a `grpc-status`; UNKNOWN for what is none or has no name, as clients take it."""
    if len(value) <= 2 and value.isdigit() and int(value) < len(NAMES):
        return int(value)
    return UNKNOWN


def name_of(status: int) -> str:
    """The name in logs and metrics."""
    return NAMES[status]
