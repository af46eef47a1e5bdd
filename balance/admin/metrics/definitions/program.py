"""The program itself: workers, reloads, what it could not log or count, its processes."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, Definition

LAG: Final = Definition(
    "balance_event_loop_lag_seconds",
    GAUGE,
    ("worker",),
    "How late the worker's loop ran, worst of the last second.",
    "Above 0.1: a core is too busy; more workers, or fewer costly features.",
)
BUSY: Final = Definition(
    "balance_worker_utilization",
    GAUGE,
    ("worker",),
    "The share of one core that the worker used since the scrape before, or for the last minute if scrapes are closer.",
    "Near 1: this worker can do no more. All of them: more workers or machines; one: few clients with much to do.",
)
WORKERS: Final = Definition("balance_workers", GAUGE, (), "Workers alive.", "Fewer than configured: the log says why.")
WORKER_RESTARTS: Final = Definition(
    "balance_worker_restarts_total", COUNTER, (), "Workers replaced.", "The log says how each ended."
)
CONTROL_RESTARTS: Final = Definition(
    "balance_control_restarts_total", COUNTER, (), "Times the control process was replaced.", "The log says how it ended."
)
DIALS_FAILED_HERE: Final = Definition(
    "balance_dials_failed_here_total",
    COUNTER,
    (),
    "Connections to backends that could not be made for want of descriptors, ports or memory here.",
    "Raise LimitNOFILE, or ip_local_port_range; it is not the backends' fault.",
)
LOG_LINES_LOST: Final = Definition(
    "balance_log_lines_lost_total",
    COUNTER,
    (),
    "Access lines dropped because nobody took them.",
    "The disk is full, or the reader of the log is too slow.",
)
SERIES_LOST: Final = Definition(
    "balance_series_lost_total",
    COUNTER,
    (),
    "Requests missing from balance_http_requests_total because its table was full.",
    "Backends, routes, methods and statuses make more combinations than there is room for; other metrics count them all.",
)
GENERATION: Final = Definition(
    "balance_config_generation",
    GAUGE,
    (),
    "The number of the configuration that is served.",
    "Which one: `balance generations`.",
)
RELOADS: Final = Definition(
    "balance_config_reloads_total",
    COUNTER,
    ("result",),
    "Reloads; only one that is a success has changed anything.",
    "failure: the log has file:line of what is wrong.",
)
LAST_RELOAD: Final = Definition(
    "balance_config_last_reload_successful",
    GAUGE,
    (),
    "0 while the file was refused when it was last read again, else 1.",
    "0: a restart would not start; correct the file.",
)
ADMIN_REFUSED: Final = Definition(
    "balance_admin_refused_total",
    COUNTER,
    ("reason",),
    "Requests to the admin port that were refused.",
    "wrong_token and too_many_guesses that rise: somebody guesses; the log says from where.",
)
MEMORY_LIMIT: Final = Definition(
    "balance_memory_limit_bytes",
    GAUGE,
    (),
    "What all processes may use: the limit of the control group, or the memory of the machine; the smaller.",
    "Compare process_resident_memory_bytes.",
    "where the system tells",
)
BUILD: Final = Definition(
    "balance_build_info", GAUGE, ("version", "python"), "Always 1; the labels say what runs.", "Which machines are old."
)
CPU: Final = Definition(
    "process_cpu_seconds_total", COUNTER, (), "CPU time of all processes, those that have ended included.", "Load."
)
RESIDENT: Final = Definition(
    "process_resident_memory_bytes", GAUGE, (), "Memory of all processes, shared pages counted once.",
    "Rising without end at the same load: a leak; tell us.",
)  # fmt: skip
VIRTUAL: Final = Definition(
    "process_virtual_memory_bytes", GAUGE, (), "Address space of all processes.", "Most of it is never used."
)
FDS: Final = Definition(
    "process_open_fds", GAUGE, (), "File descriptors open in all processes.", "For a limit: balance_clients_limit."
)
MAX_FDS: Final = Definition(
    "process_max_fds", GAUGE, (), "File descriptors that each process may open.", "LimitNOFILE, `ulimit -n`."
)
START: Final = Definition(
    "process_start_time_seconds", GAUGE, (), "When this instance started, since the epoch.", "A change is a restart."
)

DEFINITIONS: Final = (
    LAG, BUSY, WORKERS, WORKER_RESTARTS, CONTROL_RESTARTS, DIALS_FAILED_HERE, LOG_LINES_LOST, SERIES_LOST, GENERATION, RELOADS,
    LAST_RELOAD, ADMIN_REFUSED, MEMORY_LIMIT, BUILD, CPU, RESIDENT, VIRTUAL, FDS, MAX_FDS, START,
)  # fmt: skip
