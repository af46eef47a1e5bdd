"""What users see, the commands that find out why, and the words that these commands show.

The commands take the access log as JSON in `access.log`, the program's own log in `balance.log`, the configuration in
`config.yaml`; tests/process/test_symptom_commands.py runs each as it stands against an instance with that trouble.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.model import Why

METRICS: Final = "curl -s http://127.0.0.1:9090/metrics"


class Look(NamedTuple):
    """A shell command, and what it shows."""

    command: str
    shows: str


class Symptom(NamedTuple):
    """`words` are those that such lines may have; `change` is what ends it when no word of theirs says so."""

    seen: str
    looks: tuple[Look, ...]
    words: tuple[Why, ...] = ()
    change: str = ""


def _of_status(status: int, *more: str) -> Look:
    fields = ", ".join(f".{name}" for name in ("why", "route", "backend", *more, "detail"))
    return Look(
        f"jq -r 'select(.status == {status}) | [{fields}] | @tsv' access.log | sort | uniq -c | sort -rn | head",
        "how many, by why, route and backend, with the reason in words",
    )


SYMPTOMS: Final = (
    Symptom(
        "clients see 502",
        (
            _of_status(502),
            Look("balance backends", "which backends are out, since when and why"),
            Look("balance validate --check-backends config.yaml", "whether each backend can be reached from here, and its TLS"),
        ),
        (
            Why.CONNECT_REFUSED,
            Why.CONNECT_FAILED,
            Why.RESET_BEFORE_RESPONSE,
            Why.RESET_ON_REUSE,
            Why.BAD_RESPONSE,
            Why.NEEDS_HTTP1,
            Why.BACKEND_TLS_PROTOCOL,
            Why.BACKEND_TLS_CERTIFICATE,
            Why.BACKEND_TLS_NAME,
            Why.BACKEND_TLS_REFUSED,
        ),
    ),
    Symptom(
        "clients see 503",
        (
            _of_status(503),
            Look("balance backends", "the reason beside each backend that is out; circuit breakers; what is full"),
            Look("balance status", "how many each pool has under way; the state of Redis, where there is one"),
        ),
        (
            Why.NO_HEALTHY,
            Why.BREAKER_OPEN,
            Why.LIMIT,
            Why.QUEUE_TIMEOUT,
            Why.DRAINING,
            Why.SESSION_STORE,
            Why.RATE_LIMIT_STORE,
            Why.AUTH_UNAVAILABLE,
            Why.KEYS_UNAVAILABLE,
            Why.STREAM_REFUSED,
        ),
    ),
    Symptom(
        "clients see 504",
        (
            Look(
                "jq -r 'select(.status == 504) | [.why, .route, .backend, .queue_ms, .connect_ms, .ttfb_ms, .total_ms] | "
                "@tsv' access.log | tail",
                "where the time went: waiting for a place, connecting, or waiting for the reply",
            ),
            Look("balance top --once", "P50 and P99 of each backend, and how many requests it has now"),
        ),
        (
            Why.CONNECT_TIMEOUT,
            Why.RESPONSE_HEADER_TIMEOUT,
            Why.RESPONSE_IDLE,
            Why.TOTAL_TIMEOUT,
            Why.BACKEND_TLS_TIMEOUT,
        ),
    ),
    Symptom(
        "clients see 400, 404, 408, 413 and others of 4xx",
        (
            Look(
                "jq -r 'select(.status >= 400 and .status < 500) | [.status, .why, .route, .rule, .detail] | @tsv' "
                "access.log | sort | uniq -c | sort -rn | head",
                "who refuses: with ok the backend, else Balance, and by which rule",
            ),
            Look("balance routes", "which route and rule would match, in their order, and how often each did"),
        ),
        (
            Why.BAD_REQUEST,
            Why.AMBIGUOUS_PATH,
            Why.NO_ROUTE,
            Why.DENIED,
            Why.UNAUTHORIZED,
            Why.METHOD_REFUSED,
            Why.HEADER_TIMEOUT,
            Why.BODY_TIMEOUT,
            Why.BODY_TOO_LARGE,
            Why.URI_TOO_LONG,
            Why.EXPECTATION_FAILED,
            Why.MISDIRECTED,
            Why.RATE_LIMITED,
            Why.HEADER_TOO_LARGE,
        ),
    ),
    Symptom(
        "clients see 500 or 501",
        (_of_status(500), _of_status(501), Look("grep -c 'crashed\\|Traceback' balance.log", "faults of Balance's own")),
        (Why.INTERNAL_ERROR, Why.NOT_IMPLEMENTED),
        "with `ok` it is the backend's own reply: its log has the reason",
    ),
    Symptom(
        "connections are reset or refused, without a status",
        (
            Look(
                METRICS + " | grep -E '^balance_(connections_(refused|lost|cut)|accept_pause)'",
                "refused by lists and guards, lost with a worker, cut by a drain, or waiting for room",
            ),
            Look("balance blocklist", "who is blocked, and how many each listener has refused"),
            Look(
                "grep -E 'is reset|is closed|cannot accept' balance.log | tail",
                "one line a minute for each kind, with an address",
            ),
        ),
        (Why.BLOCKED, Why.TOO_MANY_CONNECTIONS, Why.CONNECTION_RATE, Why.PROXY_HEADER),
        "callers wait for room: `max_clients`, or more descriptors (`ulimit -Hn`); lost: the log says how the worker died",
    ),
    Symptom(
        "TLS handshakes fail",
        (
            Look(METRICS + " | grep '^balance_tls_handshakes_total'", "how many, by what is wrong"),
            Look("grep 'TLS handshake' balance.log | tail", "one line a minute for each kind: who, for which name, and why"),
            Look(
                METRICS + " | grep '^balance_tls_certificate_expiry_seconds'",
                "when each certificate ends, in seconds since the epoch (date -d @SECONDS)",
            ),
        ),
        (
            Why.TLS_PROTOCOL,
            Why.TLS_NO_SHARED_CIPHER,
            Why.TLS_UNKNOWN_NAME,
            Why.TLS_CLIENT_CERTIFICATE,
            Why.TLS_SERVER_CERTIFICATE,
            Why.TLS_TIMEOUT,
            Why.TLS_NOT_TLS,
            Why.TLS_ABORTED,
        ),
    ),
    Symptom(
        "replies, sessions or WebSockets break off",
        (
            Look(
                'jq -r \'select(.why | test("mid_response|abort|slow|idle")) | [.why, .method, .backend, .total_ms, '
                ".bytes_out, .detail] | @tsv' access.log | tail",
                "who ended it and after how long; all after the same time: a timeout",
            ),
            Look(
                'jq -r \'select(.method == "TUNNEL" or .method == "TCP") | [.why, .backend, .total_ms] | @tsv\' '
                "access.log | tail",
                "the same of WebSockets and TCP sessions",
            ),
        ),
        (
            Why.RESET_MID_RESPONSE,
            Why.CLIENT_ABORT,
            Why.CLIENT_TOO_SLOW,
            Why.IDLE_TIMEOUT,
            Why.HTTP2_ERROR,
            Why.HTTP2_FLOOD,
        ),
        "a balancer or firewall before or behind this one may have a shorter timeout: the end is `client_abort` "
        "or `reset_mid_response` then",
    ),
    Symptom(
        "latency went up",
        (
            Look("balance top --once", "P50 and P99 of each backend: one alone, or all; waiting (wait) and req/s"),
            Look(
                "jq -s -c 'group_by(.backend)[] | {backend: .[0].backend, n: length, queue: (map(.queue_ms) | add / "
                "length), connect: (map(.connect_ms) | add / length), ttfb: (map(.ttfb_ms) | add / length), total: "
                "(map(.total_ms) | add / length), p99: (map(.total_ms) | sort | .[length * 99 / 100 | floor])}' access.log",
                "by backend, means and the 99th percentile of all: queue is want of places, connect the network, "
                "ttfb the backend, what is left of total the client or the body",
            ),
            Look(
                METRICS + " | grep -E '^balance_(event_loop_lag_seconds|pool_waiting)'",
                "Balance's own: above 0.05 s a worker is overloaded",
            ),
        ),
        change="one backend alone: drain it and look there. All: the load (`balance status`), or what they share. "
        "`queue`: `max_connections` or more backends. `connect`: `http.keepalive`. Loop lag: more `workers`, or "
        "more cores",
    ),
    Symptom(
        "one backend gets nothing, or too little",
        (
            Look("balance top --once", "the share of each backend against its due (SH/DUE%), and why it is out, in a sentence"),
            Look(
                "balance backends",
                "its state, weight and why: out, drained, weight 0, a backup, its breaker open, just back and slow-starting",
            ),
            Look("balance events --once", "who drained it, or which check failed"),
            Look(
                "jq -r .backend access.log | sort | uniq -c | sort -rn",
                "the shares of what is logged; with sample, of what was picked",
            ),
        ),
        change="`balance enable NAME`, or its weight. Ready and with weight: sessions or a hash keep clients elsewhere; "
        "`least-connections` gives a slow one less; connections in TCP mode last long",
    ),
    Symptom(
        "a backend is out, or goes in and out",
        (
            Look("balance backends", "why it is out, in words, and since when"),
            Look(
                "balance events --once | grep -E 'backend|breaker'",
                "how often, and by which evidence: a check, traffic, or an order",
            ),
            Look("balance validate --check-backends config.yaml", "whether this machine reaches it now"),
        ),
        change="a check that asks for too much: `health_check.path`, `timeout`, `unhealthy_threshold`. By traffic: "
        "`health_check.passive_checks`, `circuit_breaker`, after the `why` of its lines in the access log",
    ),
    Symptom(
        "discovery finds nobody, or the wrong backends",
        (
            Look(
                "balance status --json | jq -c '.pools[] | select(.discovery) | {name, discovery}'",
                "of each pool: who is asked; whether the last answer stands (`fresh`), is kept while the source fails "
                "(`stale`) or never came (`failing`); the last failure in words",
            ),
            Look("balance backends", "who is served: what was found, with what operators have changed laid over it"),
            Look("grep 'discover' balance.log | tail", "each answer that changed a pool, and each failure, once"),
        ),
        change="the source, by the words of its last failure: until it answers, the set that was found last stays. "
        "`says_nobody`: it answers that there is nobody, and after `discovery.hold` the pool is empty",
    ),
    Symptom(
        "a pool does not grow or shrink as it should",
        (
            Look("balance autoscaler", "how many there are and should be, and why not, in a sentence"),
            Look("grep -E 'scaled from|size is held|dry run|has ended unasked' balance.log | tail", "each change and failure"),
        ),
        change="`autoscaler.min`, `max`, `target`, `step`, `window` or `cooldown`; "
        "[what else holds it](AUTOSCALING.md#when-it-does-not-do-what-you-expect)",
    ),
    Symptom(
        "requests are tried several times, or not again",
        (
            Look(
                "jq -c 'select(.retry != \"\" or .attempts > 1) | [.method, .path, .status, .attempts, .retry, .tries]' "
                "access.log | tail",
                "each try that failed, and why there was no other",
            ),
            Look(
                METRICS + " | grep -E '^balance_(retries_skipped|backend_retries)_total'", "how many, by reason and by backend"
            ),
        ),
        change="the words of [`retry`](OBSERVABILITY.md#retry) each say what would change it",
    ),
    Symptom(
        "a request took the wrong route",
        (
            Look("balance routes", "routes and rules in the order in which they are tried"),
            Look("jq -r '[.route, .rule, .pool, .host, .path] | @tsv' access.log | tail", "what each request took"),
        ),
        (Why.REDIRECTED, Why.FIXED_RESPONSE, Why.FAULT_INJECTED, Why.PREFLIGHT),
        "the first route that matches wins: [which one](ROUTING.md)",
    ),
    Symptom(
        "a client loses its session",
        (
            Look("curl -s http://127.0.0.1:9090/sessions | jq .", "how each pool keeps sessions, how many, and how Redis is"),
            Look("balance events --once | grep backend", "whether its backend went out: then its clients go elsewhere"),
        ),
        change="drain a backend before it is stopped: its sessions stay to their end. [Sessions](BALANCING.md)",
    ),
    Symptom(
        "a user quotes an error page, a request id or a time",
        (
            Look("jq 'select(.request_id == \"ID\")' access.log", "its line; the error page and X-Request-ID have the id"),
            Look("grep ID balance.log", "what the program's log says of it"),
        ),
        change="nothing found: it was sampled out, or it never came here",
    ),
    Symptom(
        "one client, or many, ask too much",
        (
            Look("jq -r .client access.log | sort | uniq -c | sort -rn | head", "who asks most"),
            Look("balance blocklist", "who is blocked already"),
        ),
        change="`balance block ADDRESS --for 1h` at once; then `rate_limit`, or `security.connection_protection`",
    ),
    Symptom(
        "who changed it?",
        (
            Look("balance generations", "each configuration, when it came, by whom, from where and what it changed"),
            Look("balance events --once | grep 'ordered by'", "orders, with the token's name and the address"),
            Look("grep 'ordered by' balance.log", "the same for as long as the log is kept"),
        ),
        change="`balance reload --to N` goes back; tokens with names (`admin.auth`) say who",
    ),
    Symptom(
        "a reload did nothing",
        (
            Look("balance validate config.yaml", "whether the file is good, with file, line and column"),
            Look(
                "balance diff config.yaml", "what a reload would change: nothing, where it is served already or another file is"
            ),
            Look("balance generations", "which configuration is served, and from which file"),
            Look("grep -A3 'configuration' balance.log | tail", "why the last one was refused"),
        ),
        change="changes at run time hold until the file says something new: `balance reload --discard-changes`",
    ),
    Symptom(
        "memory or CPU is high",
        (
            Look(
                METRICS + " | grep -E '^(process_|balance_workers|balance_active_|balance_event_loop_lag)'",
                "of all processes, and what is open",
            ),
            Look(
                "balance status --json | jq -c '.memory, .connections, .workers[]'",
                "memory in all, connections, what each worker has",
            ),
        ),
        change="CPU: `workers: auto` takes every core; TLS, compression and `basic_auth` cost most. Memory: open "
        "connections, `http.buffering.total`, `max_clients`",
    ),
    Symptom(
        "a worker died",
        (
            Look("balance events --once | grep -E 'worker|control'", "when, and how often"),
            Look("grep -E 'killed|exited|crashed|does not turn' balance.log | tail", "by which signal, or of which fault"),
            Look(
                METRICS + " | grep -E '^balance_(worker_restarts|control_restarts|connections_lost)_total'",
                "how many, and what went with them",
            ),
        ),
        change="SIGKILL without an order: the kernel's out-of-memory killer (`dmesg`). A traceback: report it",
    ),
    Symptom(
        "lines of a log are missing",
        (
            Look(METRICS + " | grep '^balance_log_lines_lost_total'", "lines that nobody took"),
            Look(
                "grep -E 'access log|lines were lost' balance.log",
                "what is wrong with the output: a full disk, a slow reader, a moved file",
            ),
        ),
        change="above 0: room, or a reader that is faster. 0: `sample` and `slow_threshold` leave normal requests out; "
        "what ends before it is a request [has no line](OBSERVABILITY.md#what-each-end-leaves)",
    ),
    Symptom(
        "`/ready` or `/health` says no",
        (
            Look("curl -s http://127.0.0.1:9090/ready", "the reason"),
            Look("balance status", "the stage: starting, serving, draining; which pools have nobody ready"),
        ),
        change="a pool without a ready backend: as for 503. Draining: somebody stopped it",
    ),
)
