"""Every field of the access log's lines and of the program's own log: what it holds, and what it is read for."""

from __future__ import annotations

from typing import Final, NamedTuple


class LogField(NamedTuple):
    """`use` is what it tells whoever looks for trouble."""

    meaning: str
    use: str


ACCESS_FIELDS: Final[dict[str, LogField]] = {
    "time": LogField("when it ended, in UTC, as ISO 8601 has it", "it began `total_ms` before"),
    "client": LogField(
        "the client's address, as `trusted_proxies` have it be believed; `unknown` where a Unix socket or an "
        "entry that can't be read has none",
        "always the balancer before this one: name it in `security.trusted_proxies`, or use the PROXY protocol",
    ),
    "method": LogField(
        "as sent; `TCP` for a session in TCP mode, `TUNNEL` for what an Upgrade has become",
        "sessions and tunnels apart from requests",
    ),
    "host": LogField("the Host that was asked for", "who asks for what is not served: strangers' names"),
    "path": LogField("path and query as sent", "what is slow or fails; secrets in a query are in the log: send them in fields"),
    "version": LogField("`HTTP/1.1` or `HTTP/1.0`", "who still speaks 1.0, and makes a connection for each request"),
    "status": LogField(
        "that the client got; 499: it left before there was one; 0: none, and in TCP mode",
        "`why` says whose it is: with `ok` it is the backend's own",
    ),
    "why": LogField("how it ended, one word of the [list](#why)", "[what to do](#why)"),
    "bytes_in": LogField("from the client, its head included", "who uploads"),
    "bytes_out": LogField("to the client, the head included", "who downloads; less than the reply has: it broke off"),
    "backend": LogField("that answered, or failed last; empty: none was chosen", "whether one backend fails, or all"),
    "pool": LogField(
        "where it was looked for; empty: nobody asked one, as for redirects, fixed replies and denied requests",
        "the same of pools",
    ),
    "attempts": LogField(
        "how many tries were made; `reset_on_reuse` in `tries` is one of them",
        "above 1: a backend failed and the client may not have noticed",
    ),
    "request_id": LogField(
        "as in `X-Request-ID` and in error replies; a session in TCP mode has one for the logs",
        "finds the line of which a user speaks, and the backend's own",
    ),
    "referer": LogField("the client's field", "which page links to what is not there"),
    "user_agent": LogField("the client's field", "scanners and old clients"),
    "queue_ms": LogField("waited for a backend that was full", "above 0: more backends, or a higher `max_connections`"),
    "connect_ms": LogField(
        "of the last try: until the connection stood; 0: it stood already",
        "often above 0: `http.keepalive`; long: the network, or a backend's backlog",
    ),
    "ttfb_ms": LogField("of the last try: from the request's sending to the first byte of the reply", "the backend's own time"),
    "total_ms": LogField(
        "from the whole head of the request to the last byte of the reply; of a head that never was whole, from its first byte",
        "much more than the others together: a slow client, or a long body",
    ),
    "retry": LogField(
        "what became of the last try that failed, one word of the [list](#retry); empty: none failed", "[what to do](#retry)"
    ),
    "route": LogField("the route that it took; empty: none, or the listener has none", "`balance routes` shows it"),
    "detail": LogField("in words, why it ended badly; only where there is something to say", "read it first"),
    "tries": LogField(
        "each backend that was tried before the last one, how that failed and after how long; only where there was one",
        "which backend fails behind a status that is good",
    ),
    "rule": LogField(
        "the rule of the route that decided, such as `rules[2]`, `canary`, `blue_green`, `fault`; only where one "
        "did. `admin/rules[0]`: a rule of the route `admin`, where the path was changed to one of that route",
        "which rule to change",
    ),
    "user": LogField(
        "who asks: the user of `basic_auth`, or the `sub` of a token that was good; else the subject of the "
        "client's certificate, or its fingerprint where that is longer; up to 256 characters. Only where one was "
        "found. In format `combined` the third column, with spaces and brackets escaped",
        "whose requests fail",
    ),
    "region": LogField(
        "the client's region; only where the route has `policy.regions`",
        "whether the client's field or address is read as meant",
    ),
    "backend_region": LogField(
        "the backend's; another one than `region`: the request spilled over. Only beside `region`, of backends that have one",
        "another one than `region`, often: the region's own backends are out or full",
    ),
    "trace_id": LogField(
        "the trace of the request, as backends are told; only while `tracing` is on, whether it is sampled or not",
        "finds the trace, and the lines of other services about it",
    ),
    "span_id": LogField(
        "the request's own span; where it is not sampled, the one that backends were told",
        "the span in that trace",
    ),
    "grpc_status": LogField(
        "the name of a gRPC call's status, as its client has it; `status` is then that of the reply's head, or, of an error of "
        "ours, what it would be without gRPC",
        "what the server, or `why`, says of it",
    ),
    "sample": LogField(
        "the part of its like that is logged, by which to count: 0.01 stands for a hundred. Only where that is not all",
        "divide counts by it",
    ),
}

PROCESS_FIELDS: Final[dict[str, LogField]] = {
    "time": LogField("when it was said, in UTC, as ISO 8601 has it", "beside the access log's"),
    "level": LogField(
        "`debug`, `info`, `warning`, `error` or `critical`",
        "`error`: somebody should look; `warning`: it goes on, but not as meant",
    ),
    "process": LogField("who says it: `supervisor`, `worker 0` ..., `control`", "whether one worker says it, or all"),
    "message": LogField("what happened", "names the key, file, backend or client"),
    "request_id": LogField("of which request it speaks; only where it speaks of one", "finds its line in the access log"),
    "trace_id": LogField("of which trace that request is; only where it is traced", "finds it in the traces' store"),
    "trace": LogField("the end of a Python traceback; only of faults of Balance's own", "report it"),
}
