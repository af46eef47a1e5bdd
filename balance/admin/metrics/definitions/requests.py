"""Requests: how many, how long they took, how large they were, how they ended."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import BACKEND, COUNTER, HISTOGRAM, Definition

REQUESTS: Final = Definition(
    "balance_http_requests_total",
    COUNTER,
    ("method", "status", "pool", "backend", "route"),
    "HTTP requests answered.",
    "The rate of traffic. A series begins with its first request; use balance_pool_responses_total for alerts on errors.",
)
RESPONSES: Final = Definition(
    "balance_pool_responses_total",
    COUNTER,
    ("pool", "class"),
    "HTTP requests answered, by the pool and the class of the status; at 0 from the start.",
    "5xx of a pool that others do not have: look at balance_requests_ended_total and at the pool's backends.",
)
DURATION: Final = Definition(
    "balance_http_request_duration_seconds",
    HISTOGRAM,
    BACKEND,
    "From a request's head to its reply's last byte.",
    "High while balance_backend_request_duration_seconds is not: clients are slow, or requests queue (balance_pool_waiting).",
)
REQUEST_SIZE: Final = Definition(
    "balance_http_request_size_bytes",
    HISTOGRAM,
    (),
    "Size of requests, heads included.",
    "Large ones: look at http.limits.body and buffering.",
)
RESPONSE_SIZE: Final = Definition(
    "balance_http_response_size_bytes",
    HISTOGRAM,
    (),
    "Size of replies, heads included.",
    "Large ones: compression may help.",
)
ENDED: Final = Definition(
    "balance_requests_ended_total",
    COUNTER,
    ("why",),
    "Requests, TCP connections and tunnels by how they ended.",
    "The first look when errors rise: the word says whose fault it is (see `why`).",
)
SKIPPED: Final = Definition(
    "balance_retries_skipped_total",
    COUNTER,
    ("reason",),
    "Tries that failed and were not made again, by the reason.",
    "budget: too much fails at once for retries to help; each word has its row, see `retry`.",
)
GRPC_CALLS: Final = Definition(
    "balance_grpc_calls_total",
    COUNTER,
    ("status", "pool", "backend"),
    "gRPC calls by the status that their clients have got. They are among balance_http_requests_total as well.",
    "UNAVAILABLE without a backend is ours: look at balance_requests_ended_total; with one, that server says so.",
    shown="from the first call on",
)

DEFINITIONS: Final = (REQUESTS, RESPONSES, DURATION, REQUEST_SIZE, RESPONSE_SIZE, ENDED, SKIPPED, GRPC_CALLS)
