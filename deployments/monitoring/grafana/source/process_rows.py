"""The rows of the instance itself: its limits, its processes, its certificates."""

from __future__ import annotations

from panel import INSTANCE, Panel, Row, rate, ratio

OURS = "and on (job, instance) balance_build_info"  # every program exports process_*

LIMITS = Row(
    "Limits",
    (
        Panel(
            "Rate limited",
            "Requests beyond a rate limit: refused, or reported only.",
            (
                (
                    rate("balance_rate_limited_total", INSTANCE, "listener", "route", "action"),
                    "{{listener}} {{route}} {{action}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Connections refused",
            "Reset when they were accepted: by access lists, the connection guard, for want of a PROXY header.",
            ((rate("balance_connections_refused_total", INSTANCE, "listener", "reason"), "{{listener}} {{reason}}"),),
            "cps",
        ),
        Panel(
            "Clients by listener",
            "And max_clients where it is set.",
            (
                (f"sum by (listener) (balance_listener_connections{{{INSTANCE}}})", "{{listener}}"),
                (f"sum by (listener) (balance_listener_max_clients{{{INSTANCE}}})", "limit of {{listener}}"),
            ),
        ),
        Panel(
            "Accepting paused",
            "Listening sockets whose callers wait in the backlog now, and how often that began.",
            (
                (f"sum(balance_accept_paused{{{INSTANCE}}})", "paused now"),
                (
                    f"sum by (reason) (increase(balance_accept_pauses_total{{{INSTANCE}}}[$__rate_interval]))",
                    "pauses: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Idle clients closed",
            "To make room for others, at max_clients or near the end of descriptors.",
            ((rate("balance_idle_clients_closed_total", INSTANCE), "closed"),),
            "cps",
        ),
        Panel(
            "Lost",
            "Lines of the log that nobody took, connections that were cut at the end of a drain or died with their worker.",
            (
                (rate("balance_log_lines_lost_total", INSTANCE), "log lines"),
                (rate("balance_connections_cut_total", INSTANCE), "connections cut"),
                (rate("balance_connections_lost_total", INSTANCE), "connections of dead workers"),
            ),
            "cps",
        ),
    ),
    is_closed=True,
)

PROCESSES = Row(
    "Processes",
    (
        Panel(
            "Memory",
            "Of all processes, shared pages counted once, and what the cgroup or the machine allows.",
            (
                (f"process_resident_memory_bytes{{{INSTANCE}}} {OURS}", "{{instance}}"),
                (f"balance_memory_limit_bytes{{{INSTANCE}}}", "limit of {{instance}}"),
            ),
            "bytes",
        ),
        Panel(
            "CPU",
            "Cores in use by all processes.",
            ((f"rate(process_cpu_seconds_total{{{INSTANCE}}}[$__rate_interval]) {OURS}", "{{instance}}"),),
            "short",
        ),
        Panel(
            "Event loop lag",
            "How late each worker ran, the worst of the last second. The alert BalanceHighEventLoopLag looks at 0.1 s.",
            ((f"max by (instance, worker) (balance_event_loop_lag_seconds{{{INSTANCE}}})", "{{instance}} worker {{worker}}"),),
            "s",
        ),
        Panel(
            "Cores of workers",
            "The part of a core that each worker uses: at 1 it is at its end.",
            ((f"max by (instance, worker) (balance_worker_utilization{{{INSTANCE}}})", "{{instance}} worker {{worker}}"),),
            "percentunit",
        ),
        Panel(
            "Reloads",
            "Of the configuration, by how they ended.",
            ((f"sum by (result) (increase(balance_config_reloads_total{{{INSTANCE}}}[$__rate_interval]))", "{{result}}"),),
        ),
        Panel(
            "Workers",
            "Alive, and replaced within the graph's step.",
            (
                (f"sum by (instance) (balance_workers{{{INSTANCE}}})", "{{instance}}"),
                (
                    f"sum by (instance) (increase(balance_worker_restarts_total{{{INSTANCE}}}[$__rate_interval]))",
                    "replaced at {{instance}}",
                ),
                (
                    f"sum by (instance) (increase(balance_control_restarts_total{{{INSTANCE}}}[$__rate_interval]))",
                    "control replaced at {{instance}}",
                ),
            ),
        ),
        Panel(
            "File descriptors",
            "Open in all processes.",
            ((f"process_open_fds{{{INSTANCE}}} {OURS}", "{{instance}}"),),
        ),
        Panel(
            "Configuration refused",
            "1 while the file was refused when it was last read.",
            ((f"1 - balance_config_last_reload_successful{{{INSTANCE}}}", "{{instance}}"),),
        ),
        Panel(
            "Versions",
            "What runs where, and since when.",
            (
                (f"max by (instance, version, python) (balance_build_info{{{INSTANCE}}})", ""),
                (f"max by (instance) (balance_config_generation{{{INSTANCE}}})", ""),
                (f"time() - max by (instance) (process_start_time_seconds{{{INSTANCE}}} {OURS})", ""),
            ),
            kind="table",
            columns=(("info", "short"), ("generation", "short"), ("up for", "s")),
            hidden=("info",),
        ),
    ),
)

CERTIFICATES = Row(
    "TLS",
    (
        Panel(
            "Certificates",
            "Until each ends; the alert BalanceCertificateExpiry looks at 14 days.",
            (
                (
                    f"min by (instance, listener, certificate) (balance_tls_certificate_expiry_seconds{{{INSTANCE}}}) - time()",
                    "ends in",
                ),
            ),
            "s",
            "table",
            12,
            thresholds=((None, "red"), (14 * 86400, "green")),
            columns=(("ends in", "s"),),
        ),
        Panel(
            "Handshakes",
            "Of clients, by result.",
            ((rate("balance_tls_handshakes_total", INSTANCE, "result") + " > 0", "{{result}}"),),
            "cps",
            width=6,
        ),
        Panel(
            "Failed handshakes",
            "The part of all that did not succeed.",
            (
                (
                    ratio(
                        rate("balance_tls_handshakes_total", f'{INSTANCE},result!="ok"'),
                        rate("balance_tls_handshakes_total", INSTANCE),
                    ),
                    "failed",
                ),
            ),
            "percentunit",
            width=6,
        ),
    ),
    is_closed=True,
)
