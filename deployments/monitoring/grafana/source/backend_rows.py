"""The rows of backends: how they stand, retries and breakers, and each by itself."""

from __future__ import annotations

from panel import BACKEND, INSTANCE, POOL, Panel, Row, quantile, rate, ratio

NAMES = ("pool", "backend")
NAME = "{{pool}}/{{backend}}"
UPSTREAM = "balance_backend_request_duration_seconds"

BACKENDS = Row(
    "Backends",
    (
        Panel(
            "Health",
            "Red: its checks or its traffic failed. Blue: an operator has drained it or has it in maintenance.",
            (
                (
                    f"max by (instance, pool, backend) (balance_backend_healthy{{{BACKEND}}}"
                    f" + 2 * balance_backend_out_by_order{{{BACKEND}}})",
                    f"{NAME} {{{{instance}}}}",
                ),
            ),
            kind="state-timeline",
            width=12,
            values=((0, "out", "red"), (1, "ready", "green"), (2, "by order", "blue")),
        ),
        Panel(
            "Circuit breakers",
            "Where there are any. Half-open lets only trial requests through.",
            (
                (
                    f'sum by (instance, pool, backend) (2 * balance_circuit_breaker_state{{{BACKEND},state="open"}}'
                    f' or balance_circuit_breaker_state{{{BACKEND},state="half-open"}})',
                    f"{NAME} {{{{instance}}}}",
                ),
            ),
            kind="state-timeline",
            width=12,
            values=((0, "closed", "green"), (1, "half-open", "orange"), (2, "open", "red")),
        ),
        Panel(
            "Backends now",
            "Summed over instances; ready is on how many of them it is. A click on a name shows that backend alone."
            " With per-pool histograms p99 is in a line of the pool.",
            (
                (f"sum by (pool, backend) (balance_backend_healthy{{{BACKEND}}})", ""),
                (f"sum by (pool, backend) (balance_backend_connections{{{BACKEND}}})", ""),
                (rate("balance_backend_requests_total", BACKEND, *NAMES), ""),
                (rate("balance_backend_failures_total", BACKEND, *NAMES), ""),
                (rate("balance_backend_retries_total", BACKEND, *NAMES), ""),
                (quantile("0.99", UPSTREAM, f'{BACKEND},pool!=""', *NAMES), ""),
            ),
            kind="table",
            width=24,
            columns=(
                ("ready", "short"),
                ("active", "short"),
                ("requests", "reqps"),
                ("failures", "reqps"),
                ("retries", "reqps"),
                ("p99", "s"),
            ),
        ),
        Panel(
            "Requests by backend",
            "HTTP requests and TCP connections sent to each, tries included.",
            ((rate("balance_backend_requests_total", BACKEND, *NAMES), NAME),),
            "reqps",
            is_stacked=True,
        ),
        Panel(
            "Fairness",
            "Jain's index of what backends got against what their weights say: 1 is exact.",
            ((f"min by (pool) (balance_load_fairness{{{POOL}}})", "{{pool}}"),),
            "percentunit",
        ),
        Panel(
            "Waiting",
            "Requests that wait because every backend of the pool has its max_connections.",
            ((f"sum by (pool) (balance_pool_waiting{{{POOL}}})", "{{pool}}"),),
        ),
    ),
)

RETRIES = Row(
    "Failures and retries",
    (
        Panel(
            "Retries",
            "Of a pool's requests, how many were moved to another backend. The alert BalanceHighRetryRate looks at 10 %.",
            (
                (
                    ratio(
                        rate("balance_backend_retries_total", BACKEND, "pool"),
                        rate("balance_backend_requests_total", BACKEND, "pool"),
                    ),
                    "{{pool}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Failures by backend",
            "Requests or connections that ended by the backend's fault, retried or not.",
            ((rate("balance_backend_failures_total", BACKEND, *NAMES), NAME),),
            "reqps",
        ),
        Panel(
            "Not retried",
            "Failed tries that were not made again, by the reason: the word `retry` in the access log.",
            ((rate("balance_retries_skipped_total", INSTANCE, "reason"), "{{reason}}"),),
            "reqps",
        ),
        Panel(
            "Connections not made",
            "To backends; `here` are those that failed for want of descriptors, ports or memory on this machine.",
            (
                (rate("balance_backend_connect_failures_total", BACKEND, *NAMES), NAME),
                (rate("balance_dials_failed_here_total", INSTANCE), "here"),
            ),
            "cps",
        ),
        Panel(
            "Failures told to breakers",
            "A second; a breaker opens at circuit_breaker.failure_threshold in a row.",
            ((rate("balance_circuit_breaker_failures_total", BACKEND, *NAMES), NAME),),
            "reqps",
        ),
        Panel(
            "Breakers opened, backends ejected",
            "How often, within the graph's step.",
            (
                (
                    f"sum by (pool, backend) (increase(balance_circuit_breaker_opened_total{{{BACKEND}}}[$__rate_interval]))",
                    f"opened {NAME}",
                ),
                (
                    f"sum by (pool, backend) (increase(balance_backend_ejections_total{{{BACKEND}}}[$__rate_interval]))",
                    f"ejected {NAME}",
                ),
            ),
        ),
    ),
)

ONE_BACKEND = Row(
    "Per backend: $backend",
    (
        Panel(
            "p50 by backend",
            "From the choice of the backend to its reply's end. With per-pool histograms the backend's name is empty.",
            ((quantile("0.5", UPSTREAM, BACKEND, *NAMES), NAME),),
            "s",
        ),
        Panel("p95 by backend", "Likewise.", ((quantile("0.95", UPSTREAM, BACKEND, *NAMES), NAME),), "s"),
        Panel("p99 by backend", "Likewise.", ((quantile("0.99", UPSTREAM, BACKEND, *NAMES), NAME),), "s"),
        Panel(
            "Statuses by backend",
            "Replies a second.",
            ((rate("balance_http_requests_total", f'{BACKEND},backend!=""', *NAMES, "status"), f"{NAME} {{{{status}}}}"),),
            "reqps",
        ),
        Panel(
            "Active by backend",
            "Requests or connections there now, and as many there may be.",
            (
                (f"sum by (pool, backend) (balance_backend_connections{{{BACKEND}}})", NAME),
                (f"sum by (pool, backend) (balance_backend_max_connections{{{BACKEND}}})", f"limit of {NAME}"),
            ),
        ),
        Panel(
            "Utilization",
            "Active against max_connections, where that is set.",
            ((f"max by (pool, backend) (balance_backend_utilization{{{BACKEND}}})", NAME),),
            "percentunit",
        ),
        Panel(
            "Connections to backends",
            "Kept open: in use, and parked for the next request.",
            ((f"sum by (pool, backend, state) (balance_pool_connections{{{BACKEND}}})", f"{NAME} {{{{state}}}}"),),
        ),
        Panel(
            "New connections to backends",
            "A second; many mean that keep-alive does not last.",
            ((rate("balance_backend_connects_total", BACKEND, *NAMES), NAME),),
            "cps",
        ),
        Panel(
            "Bytes by backend",
            "Sent to it and received from it.",
            (
                (rate("balance_backend_sent_bytes_total", BACKEND, *NAMES), f"to {NAME}"),
                (rate("balance_backend_received_bytes_total", BACKEND, *NAMES), f"from {NAME}"),
            ),
            "Bps",
        ),
    ),
    is_closed=True,
)
