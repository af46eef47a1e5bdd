"""What routes do besides serving: rate limits, mirrors, injected faults, compression, buffering, authorizers."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, ROUTE, Definition

LIMITED: Final = Definition(
    "balance_rate_limited_total",
    COUNTER,
    (*ROUTE, "action"),
    "Requests beyond a rate limit: refused, or reported only.",
    "Who: the access log with `why` rate_limited.",
    "where rate_limit is enabled",
)
MIRRORED: Final = Definition(
    "balance_mirrored_requests_total",
    COUNTER,
    ROUTE,
    "Copies of requests that a mirror answered.",
    "Compare the share of mirror.percent.",
    "where a route has a mirror",
)
MIRROR_DROPPED: Final = Definition(
    "balance_mirror_dropped_total",
    COUNTER,
    ROUTE,
    "Copies of requests that were not sent to a mirror, or not answered.",
    "The mirror is too slow or away; clients do not notice.",
    "where a route has a mirror",
)
FAULTS: Final = Definition(
    "balance_fault_injection_active",
    GAUGE,
    ROUTE,
    "1 until the time when the route injects no more faults.",
    "1 in production is worth an alert.",
    "where a route injects faults",
)

COMPRESSED: Final = Definition(
    "balance_compressed_responses_total",
    COUNTER,
    (),
    "Replies that were compressed.",
    "Fewer than expected: clients do not ask for it, or backends do it themselves.",
    "where compression is enabled",
)
COMPRESSION_BYTES: Final = Definition(
    "balance_compression_bytes_total",
    COUNTER,
    ("direction",),
    "Bytes of those replies: in before, out after.",
    "out near in: what is compressed is compressed already; see compression.types.",
    "where compression is enabled",
)
COMPRESSION_SKIPPED: Final = Definition(
    "balance_compression_skipped_total",
    COUNTER,
    (),
    "Replies that were left as they are, as there was no memory for one more encoder.",
    "Many large replies at once: a lower level needs less.",
    "where compression is enabled",
)
BUFFERED: Final = Definition(
    "balance_buffered_requests_total",
    COUNTER,
    (),
    "Request bodies that were read whole before a backend was chosen.",
    "Slow clients hold no backend.",
    "where buffering is configured",
)
BUFFERED_BYTES: Final = Definition(
    "balance_buffered_request_bytes_total",
    COUNTER,
    (),
    "Bytes of those bodies.",
    "Memory of workers, for as long as clients take.",
    "where buffering is configured",
)
OVERFLOWS: Final = Definition(
    "balance_buffer_overflows_total",
    COUNTER,
    (),
    "Request bodies that were to be read whole and were streamed: above buffering.request, or no room in buffering.total.",
    "Raise either, if memory is there.",
    "where buffering is configured",
)
BUFFER_HELD: Final = Definition(
    "balance_buffer_held_bytes",
    GAUGE,
    (),
    "Bytes of bodies that are held now, of requests and replies, in all workers.",
    "Near buffering.total times the workers: what comes is streamed.",
    "where buffering is configured",
)
AUTH_ASKED: Final = Definition(
    "balance_forward_auth_asked_total",
    COUNTER,
    (),
    "Questions to authorizers.",
    "More than answers: some wait, or came too late (`why` auth_unavailable).",
    "where forward_auth is enabled",
)
AUTH_ANSWERS: Final = Definition(
    "balance_forward_auth_answers_total",
    COUNTER,
    ("outcome",),
    "What came of them: allowed, denied, failed (no answer, or one that does not decide).",
    "failed: the authorizer is down or slow; forward_auth.on_failure decides meanwhile.",
    "where forward_auth is enabled",
)

DEFINITIONS: Final = (
    LIMITED, MIRRORED, MIRROR_DROPPED, FAULTS, COMPRESSED, COMPRESSION_BYTES, COMPRESSION_SKIPPED, BUFFERED, BUFFERED_BYTES,
    OVERFLOWS, BUFFER_HELD, AUTH_ASKED, AUTH_ANSWERS,
)  # fmt: skip
