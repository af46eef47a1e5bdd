"""The rows and panels of the dashboard, from traffic as clients see it down to single backends and processes."""

from __future__ import annotations

from backend_rows import BACKENDS, ONE_BACKEND, RETRIES
from panel import INSTANCE, POOL, Panel, Row, named, quantile, rate, ratio
from process_rows import CERTIFICATES, LIMITS, PROCESSES

LATENCY = "balance_http_request_duration_seconds"
NO_POOL = "no pool"

GLANCE = Row(
    "At a glance",
    (
        Panel(
            "Instances",
            "Instances of Balance that Prometheus reaches.",
            ((f"count(balance_build_info{{{INSTANCE}}})", ""),),
            kind="stat",
            width=3,
        ),
        Panel("Requests", "HTTP replies a second.", ((rate("balance_pool_responses_total", POOL), ""),), "reqps", "stat", 3),
        Panel(
            "5xx",
            "The part of replies that are 5xx, the backends' own and Balance's.",
            (
                (
                    ratio(
                        rate("balance_pool_responses_total", f'{POOL},class="5xx"'), rate("balance_pool_responses_total", POOL)
                    ),
                    "",
                ),
            ),
            "percentunit",
            "stat",
            3,
            thresholds=((None, "green"), (0.01, "orange"), (0.05, "red")),
        ),
        Panel("p99", "99 of 100 requests took less.", ((quantile("0.99", LATENCY, POOL), ""),), "s", "stat", 3),
        Panel(
            "Clients",
            "Client connections open now.",
            ((f"sum(balance_active_connections{{{INSTANCE}}})", ""),),
            "short",
            "stat",
            3,
        ),
        Panel(
            "Backends out",
            "Backends that get no requests though no operator took them out.",
            ((f"sum((balance_backend_healthy{{{POOL}}} == bool 0) - balance_backend_out_by_order{{{POOL}}})", ""),),
            kind="stat",
            width=3,
            thresholds=((None, "green"), (1, "red")),
        ),
        Panel(
            "Breakers open",
            "Circuit breakers that are open or half-open.",
            ((f'sum(balance_circuit_breaker_state{{{POOL},state=~"open|half-open"}}) or vector(0)', ""),),
            kind="stat",
            width=3,
            thresholds=((None, "green"), (1, "orange")),
        ),
        Panel(
            "Next certificate",
            "Until the first certificate ends.",
            ((f"min(balance_tls_certificate_expiry_seconds{{{INSTANCE}}}) - time()", ""),),
            "s",
            "stat",
            3,
            thresholds=((None, "red"), (14 * 86400, "green")),
        ),
    ),
)

TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            "Requests by pool",
            "HTTP replies a second; `no pool` are those that Balance gave itself: redirects, refusals, no backend left.",
            ((named(rate("balance_pool_responses_total", POOL, "pool"), "pool", NO_POOL), "{{pool}}"),),
            "reqps",
            is_stacked=True,
        ),
        Panel(
            "Replies by class",
            "1xx to 5xx a second.",
            ((rate("balance_pool_responses_total", POOL, "class"), "{{class}}"),),
            "reqps",
        ),
        Panel(
            "4xx and 5xx",
            "Replies a second of each status.",
            ((rate("balance_http_requests_total", f'{POOL},status=~"[45].."', "status"), "{{status}}"),),
            "reqps",
        ),
        Panel(
            "Duration",
            "From a request's first byte to its reply's last. Points are exemplars: traces of single requests.",
            tuple((quantile(of, LATENCY, POOL), name) for of, name in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))),
            "s",
        ),
        Panel(
            "p99 by pool",
            "Of each pool; in the mode `off` of metrics.backend_histograms there is one for all.",
            ((named(quantile("0.99", LATENCY, POOL, "pool"), "pool", NO_POOL), "{{pool}}"),),
            "s",
        ),
        Panel(
            "Share of 5xx by pool",
            "Of the pool's replies. The alert BalanceHighErrorRate looks at 5 %.",
            (
                (
                    named(
                        ratio(
                            rate("balance_pool_responses_total", f'{POOL},class="5xx"', "pool"),
                            rate("balance_pool_responses_total", POOL, "pool"),
                        ),
                        "pool",
                        NO_POOL,
                    ),
                    "{{pool}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Ends other than ok",
            "How requests and TCP connections ended, by the word `why`, which the access log has as well.",
            ((rate("balance_requests_ended_total", f'{INSTANCE},why!="ok"', "why") + " > 0", "{{why}}"),),
            "reqps",
        ),
        Panel(
            "Active",
            "Client connections open, and what they have under way; at the limit callers wait.",
            (
                (f"sum(balance_active_connections{{{INSTANCE}}})", "connections"),
                (f"sum(balance_active_requests{{{INSTANCE}}})", "requests and TCP sessions"),
                (f"sum(balance_clients_limit{{{INSTANCE}}})", "limit"),
            ),
        ),
        Panel(
            "Connections and TCP sessions",
            "New ones a second.",
            (
                (rate("balance_connections_total", INSTANCE), "connections"),
                (named(rate("balance_tcp_sessions_total", POOL, "pool"), "pool", "no backend"), "TCP sessions: {{pool}}"),
            ),
            "cps",
        ),
        Panel(
            "Bytes",
            "Exchanged with clients, heads included.",
            ((rate("balance_bytes_total", INSTANCE, "direction"), "{{direction}}"),),
            "Bps",
        ),
        Panel(
            "Size of replies",
            "Heads included.",
            tuple(
                (quantile(of, "balance_http_response_size_bytes", INSTANCE), name)
                for of, name in (("0.5", "p50"), ("0.99", "p99"))
            ),
            "bytes",
        ),
        Panel(
            "Size of requests",
            "Heads included.",
            tuple(
                (quantile(of, "balance_http_request_size_bytes", INSTANCE), name)
                for of, name in (("0.5", "p50"), ("0.99", "p99"))
            ),
            "bytes",
        ),
    ),
)

ROWS = (GLANCE, TRAFFIC, BACKENDS, RETRIES, ONE_BACKEND, LIMITS, PROCESSES, CERTIFICATES)
