"""What one line of the access log says: the record of an ended request, session or tunnel, and the table of its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

# Every field, in the order of a JSON line. balance/words/log_fields.py says what each is.
FIELDS: Final = (
    "time",
    "client",
    "method",
    "host",
    "path",
    "version",
    "status",
    "why",
    "bytes_in",
    "bytes_out",
    "backend",
    "pool",
    "attempts",
    "request_id",
    "referer",
    "user_agent",
    "queue_ms",
    "connect_ms",
    "ttfb_ms",
    "total_ms",
    "retry",
    "route",
    "detail",
    "tries",
    "rule",
    "user",
    "region",
    "backend_region",
    "trace_id",
    "span_id",
    "grpc_status",
    "sample",
)
SESSION: Final = "TCP"  # the method of a session in TCP mode, and of the end of a tunnel
TUNNEL: Final = "TUNNEL"
NEVER_US: Final = -1  # the time of a step to which a request did not come


class FailedTry(NamedTuple):
    """A try that was resent. `why` is a word of Why, or the status of a reply that was not passed on."""

    backend: str
    why: str
    ms: float


class SentFields:
    """What the log has of a request's field lines. Made once for requests with the same lines."""

    __slots__ = ("host", "json_agent", "json_host", "of_host", "referer", "user_agent")

    def __init__(self, host: str, referer: str, user_agent: str, of_host: bytes | None = None) -> None:
        """Texts are any that a client sent. `of_host` is the host as it was read, by which is seen that it is still the one."""
        self.host = host
        self.referer = referer
        self.user_agent = user_agent
        self.of_host = of_host
        self.json_host = self.json_agent = ""  # host, referer and user agent as JSON has them, once asked for


NO_FIELDS: Final = SentFields("", "", "")


@dataclass(slots=True)
class RareFields:
    """Fields that most lines do not have; they are left out where they are empty."""

    detail: str = ""  # the error in words, if there was one
    tries: Sequence[FailedTry] = ()  # those before the last
    rule: str = ""  # the traffic rule that decided, if one did
    user: str = ""  # who asks, as a password or token has proven
    region: str = ""  # the client's, where the route has regions
    backend_region: str = ""  # likewise that of the backend: another one when the request spilled over
    trace_id: str = ""  # while tracing is on, sampled or not
    grpc_status: str = ""  # the name of a gRPC call's status, as its client has it
    span_id: str = ""  # of the request; where it is not sampled, what the backend was told


NO_RARE: Final = RareFields()


class AccessRecord(NamedTuple):
    """The fields of one line. Times in microseconds, NEVER_US when the request did not come to that step.

    `connect_us` and `ttfb_us` (from sending the request to its reply) are those of the last try, which is the one at `backend`.
    """

    client: str
    method: str
    path: str
    version: str
    sent: SentFields
    status: int
    why: str
    bytes_in: int
    bytes_out: int
    backend: str
    pool: str
    attempts: int
    request_id: str
    queue_us: int
    connect_us: int
    ttfb_us: int
    total_us: int
    retry: str  # what followed the last failed try: a word of RetryOutcome
    route: str
    rare: RareFields = NO_RARE


# The same as a plain tuple, which is made and taken apart at a tenth of the price: for the line that every request has.
AccessValues = tuple[
    str, str, str, str, SentFields, int, str, int, int, str, str, int, str, int, int, int, int, str, str, RareFields
]  # fmt: skip
