"""Backends and their pools: state, load, what was sent there, and what failed."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import BACKEND, COUNTER, GAUGE, HISTOGRAM, Definition

HEALTHY: Final = Definition(
    "balance_backend_healthy",
    GAUGE,
    BACKEND,
    "1 when the backend may get traffic.",
    "0: `balance backends` says why, and since when.",
)
OUT_BY_ORDER: Final = Definition(
    "balance_backend_out_by_order",
    GAUGE,
    BACKEND,
    "1 while an operator has it drained or in maintenance.",
    "Leave such backends out of alerts; `balance enable` puts it back.",
)
CONNECTIONS: Final = Definition(
    "balance_backend_connections",
    GAUGE,
    BACKEND,
    "Requests (HTTP) or connections (TCP) at the backend now.",
    "Far above the others of its pool: it is slow, or its weight is too large.",
)
MAX_CONNECTIONS: Final = Definition(
    "balance_backend_max_connections",
    GAUGE,
    BACKEND,
    "What the backend may have at once.",
    "Compare balance_backend_connections.",
    "where the backend has max_connections",
)
UTILIZATION: Final = Definition(
    "balance_backend_utilization",
    GAUGE,
    BACKEND,
    "balance_backend_connections as a share of what the backend may have at once, 0 to 1.",
    "Near 1 for long: requests queue. More backends, or a larger max_connections.",
    "where the backend has max_connections",
)
POOLED: Final = Definition(
    "balance_pool_connections",
    GAUGE,
    (*BACKEND, "state"),
    "Connections to the backend by state: active, idle.",
    "Many idle ones: keepalive may be shorter.",
)
DURATION: Final = Definition(
    "balance_backend_request_duration_seconds",
    HISTOGRAM,
    BACKEND,
    "From the choice of the backend to its reply's end.",
    "One backend above the others: it is slow. All: what they depend on is.",
    "unless metrics.backend_histograms is off",
)
BREAKER: Final = Definition(
    "balance_circuit_breaker_state",
    GAUGE,
    (*BACKEND, "state"),
    "1 for the state that the breaker is in: closed, open, half-open.",
    "open: the backend fails; `balance backends` says with what.",
    "where circuit_breaker is enabled",
)
BREAKER_FAILURES: Final = Definition(
    "balance_circuit_breaker_failures_total",
    COUNTER,
    BACKEND,
    "Failures and bad answers that breakers were told of.",
    "Rising with a closed breaker: it is about to open, or its thresholds are high.",
    "where circuit_breaker is enabled",
)
BREAKER_OPENED: Final = Definition(
    "balance_circuit_breaker_opened_total",
    COUNTER,
    BACKEND,
    "Times that the breaker opened.",
    "Again and again: the backend comes back too early, see circuit_breaker.timeout.",
    "where circuit_breaker is enabled",
)
EJECTIONS: Final = Definition(
    "balance_backend_ejections_total",
    COUNTER,
    BACKEND,
    "Times that the backend was ejected.",
    "It fails while others do not: its log, its machine.",
    "where passive_checks are enabled",
)
REQUESTS: Final = Definition(
    "balance_backend_requests_total", COUNTER, BACKEND, "Requests (HTTP) or connections (TCP) sent to the backend.",
    "Shares that differ from the weights: see balance_load_fairness.",
)  # fmt: skip
COPIES: Final = Definition(
    "balance_backend_copies_total", COUNTER, BACKEND, "Copies of requests sent to the backend as to a mirror.",
    "They are load like others, but no client waits for them.",
)  # fmt: skip
RETRIES: Final = Definition(
    "balance_backend_retries_total", COUNTER, BACKEND, "Attempts moved away from the backend to another one.",
    "It fails, and clients do not see it yet.",
)  # fmt: skip
FAILURES: Final = Definition(
    "balance_backend_failures_total", COUNTER, BACKEND, "Requests or connections that ended by the backend's fault.",
    "The access log's `why` says how.",
)  # fmt: skip
CONNECTS: Final = Definition(
    "balance_backend_connects_total", COUNTER, BACKEND, "Connections opened to the backend.",
    "About as many as requests: connections are not kept; the backend closes them, or its keepalive is short.",
)  # fmt: skip
CONNECT_FAILURES: Final = Definition(
    "balance_backend_connect_failures_total", COUNTER, BACKEND, "Connections to the backend that could not be made.",
    "It does not listen, or a firewall is between (`why` connect_refused, connect_timeout).",
)  # fmt: skip
SENT: Final = Definition("balance_backend_sent_bytes_total", COUNTER, BACKEND, "Bytes sent to the backend.", "Its load.")
RECEIVED: Final = Definition(
    "balance_backend_received_bytes_total", COUNTER, BACKEND, "Bytes received from the backend.", "Its load.",
)  # fmt: skip
TCP_SESSIONS: Final = Definition(
    "balance_tcp_sessions_total", COUNTER, BACKEND, "Connections in TCP mode that were joined to the backend.",
    "Shares that differ from the weights: long connections stay where they are.",
)  # fmt: skip
SESSIONS: Final = Definition(
    "balance_sessions_total", COUNTER, BACKEND, "Sessions of clients that began at the backend, where sessions are kept.",
    "One backend with all: cookies are not sent back, or one client is many.",
)  # fmt: skip
WAITING: Final = Definition(
    "balance_pool_waiting",
    GAUGE,
    ("pool",),
    "Requests that wait because every backend is full.",
    "Not 0 for long: more backends, or larger max_connections; queue.timeout bounds the wait.",
)
FAIRNESS: Final = Definition(
    "balance_load_fairness",
    GAUGE,
    ("pool",),
    "Jain's index over the requests that the pool's ready backends got within about the last minute, each divided by its "
    "weight: 1 when all have their due, 1/n when one of n has all.",
    "Low: sessions or a hash bind many clients to one backend, latency decides (peak_ewma), or there is too little traffic.",
)

DEFINITIONS: Final = (
    HEALTHY, OUT_BY_ORDER, CONNECTIONS, MAX_CONNECTIONS, UTILIZATION, POOLED, DURATION, BREAKER, BREAKER_FAILURES,
    BREAKER_OPENED, EJECTIONS, REQUESTS, COPIES, RETRIES, FAILURES, CONNECTS, CONNECT_FAILURES, SENT, RECEIVED, TCP_SESSIONS,
    SESSIONS, WAITING, FAIRNESS,
)  # fmt: skip
