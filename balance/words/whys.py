"""Every `why`: how it ended, whose doing it is, the first command, and what to change."""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.model import Why


class WhyWord(NamedTuple):
    """What one `why` means. `whose` names who has caused it; `look` is a shell command, `change` what ends it."""

    meaning: str
    whose: str
    look: str
    change: str


BACKENDS: Final = "balance backends"
STATUS: Final = "balance status"
ROUTES: Final = "balance routes"
LISTS: Final = "balance blocklist"
VALIDATE: Final = "balance validate --check-backends config.yaml"
NOTHING: Final = "nothing: it is as configured"


def lines_of(word: str) -> str:
    """The command that shows the lines of the access log with this `why`."""
    return f"""jq -c 'select(.why == "{word}")' access.log"""


def told(text: str) -> str:
    """The command that shows what the program's log says of it."""
    return f"grep -E '{text}' balance.log"


_HANDSHAKE: Final = told("TLS handshake")
_REDIS: Final = "balance status --json | jq '.redis, .rate_limits'"

WHYS: Final[dict[Why, WhyWord]] = {
    Why.OK: WhyWord("in order, whatever the status of the backend's reply", "", lines_of("ok"), "nothing"),
    Why.CONNECT_REFUSED: WhyWord(
        "the backend refused the connection: 502",
        "backend",
        BACKENDS,
        "start the backend, or correct its `address`; health checks keep traffic away from one that is down",
    ),
    Why.CONNECT_TIMEOUT: WhyWord(
        "no connection within `timeouts.connect`: 504",
        "backend, network",
        BACKENDS,
        "look for a firewall that drops, or a backend whose backlog is full; then `max_connections` of the backend",
    ),
    Why.CONNECT_FAILED: WhyWord(
        "no route, a name that does not resolve, no descriptor left (`balance_dials_failed_here_total`): 502",
        "network, this machine",
        lines_of("connect_failed"),
        "`detail` has the reason: correct the name or the route; raise `ulimit -Hn` where descriptors are short",
    ),
    Why.RESET_ON_REUSE: WhyWord(
        "a connection that was used before was closed as the request arrived, within 100 ms or two connect times "
        "of its sending. A backend that had taken the whole request, or is met so again within 20 requests, is "
        "`reset_before_response`",
        "nobody",
        lines_of("reset_on_reuse"),
        "`http.keepalive.idle_timeout` below the backend's own keep-alive time",
    ),
    Why.RESET_BEFORE_RESPONSE: WhyWord(
        "the backend closed or reset before it answered: 502",
        "backend",
        lines_of("reset_before_response"),
        "the backend's log of that time: it crashed, was killed or restarted, or refuses the request by closing",
    ),
    Why.RESET_MID_RESPONSE: WhyWord(
        "it broke off in the middle of its reply or of a session",
        "backend",
        lines_of("reset_mid_response"),
        "the backend's log of that time; a limit on the time of its replies, such as gunicorn's `--timeout`",
    ),
    Why.RESPONSE_HEADER_TIMEOUT: WhyWord(
        "no reply within `timeouts.read`: 504",
        "backend",
        lines_of("response_header_timeout"),
        "make the backend faster, or raise `timeouts.read` of the route for what has to take long",
    ),
    Why.RESPONSE_IDLE: WhyWord(
        "a reply that began and stood still for `timeouts.read`",
        "backend",
        lines_of("response_idle"),
        "a heartbeat in long streams, or a longer `timeouts.read` of their route",
    ),
    Why.BAD_RESPONSE: WhyWord(
        "a reply that must not be passed on: 502. `detail`, the error page and the log (once a second for each "
        "backend) say which rule it breaks",
        "backend",
        lines_of("bad_response"),
        "the backend; `http.strictness: tolerant` where it is an old one that can't be changed",
    ),
    Why.NO_HEALTHY: WhyWord(
        "no backend of the pool is ready: 503",
        "backends, operator",
        BACKENDS,
        "the reason stands beside each backend; `balance enable NAME` where somebody has drained it",
    ),
    Why.NO_ROUTE: WhyWord(
        "nothing is configured for it: 404",
        "configuration",
        ROUTES,
        "a route that matches, or a last one that matches all",
    ),
    Why.BAD_REQUEST: WhyWord(
        "a request that is ambiguous or malformed: 400",
        "client",
        lines_of("bad_request"),
        "the client: `detail` and the error page say which rule it breaks",
    ),
    Why.HEADER_TIMEOUT: WhyWord(
        "its head did not come within `timeouts.client_header`: 408",
        "client",
        lines_of("header_timeout"),
        "nothing for scanners; `timeouts.client_header` where real clients are that slow",
    ),
    Why.HEADER_TOO_LARGE: WhyWord(
        "a head beyond `http.limits`: 431",
        "client",
        lines_of("header_too_large"),
        "`http.limits.head`, `line` or `fields`; mostly it is cookies that have grown",
    ),
    Why.URI_TOO_LONG: WhyWord(
        "a request line beyond `http.limits.line`: 414",
        "client",
        lines_of("uri_too_long"),
        "`http.limits.line`, or a form that sends by POST",
    ),
    Why.BODY_TIMEOUT: WhyWord(
        "its body stood still for `timeouts.client_body`, or is slower than `min_body_rate`: 408",
        "client",
        lines_of("body_timeout"),
        "`timeouts.client_body`, or `security.connection_protection.min_body_rate`, where real clients are that slow",
    ),
    Why.BODY_TOO_LARGE: WhyWord(
        "a body beyond `http.limits.body`: 413",
        "client",
        lines_of("body_too_large"),
        "`http.limits.body`, or `limits.body` of the route that takes uploads",
    ),
    Why.EXPECTATION_FAILED: WhyWord(
        "an `Expect` other than `100-continue`: 417",
        "client",
        lines_of("expectation_failed"),
        "the client",
    ),
    Why.NOT_IMPLEMENTED: WhyWord(
        "a method or coding that is not understood: 501",
        "client",
        lines_of("not_implemented"),
        "the client: `detail` names it",
    ),
    Why.METHOD_REFUSED: WhyWord(
        "a method that is not passed on, as CONNECT: 405",
        "client",
        lines_of("method_refused"),
        "nothing for scanners; Balance is no forward proxy",
    ),
    Why.CLIENT_ABORT: WhyWord(
        "the client went away",
        "client",
        lines_of("client_abort"),
        "compare `total_ms`: where all end at the same time, a timeout of the client, or of a balancer before "
        "this one, is shorter than the replies take",
    ),
    Why.CLIENT_TOO_SLOW: WhyWord(
        "it took nothing of the reply for `timeouts.write`",
        "client",
        lines_of("client_too_slow"),
        "`timeouts.write` where real clients pause for longer; `http.buffering.response` frees the backend meanwhile",
    ),
    Why.TOTAL_TIMEOUT: WhyWord(
        "longer in all than `timeouts.request`, or than a gRPC call's own deadline: 504; 499 if its client left at that moment",
        "",
        lines_of("total_timeout"),
        "`queue_ms`, `connect_ms` and `ttfb_ms` say where the time went; `timeouts.request` of the route, the deadline of the "
        "call's client",
    ),
    Why.IDLE_TIMEOUT: WhyWord(
        "a session, tunnel or gRPC call in which nothing moved for `timeouts.idle` or `tunnel`",
        "",
        lines_of("idle_timeout"),
        "a heartbeat of the application, or a longer `timeouts.idle` or `timeouts.tunnel`",
    ),
    Why.DRAINING: WhyWord(
        "cut by the end of a drain",
        "operator",
        "balance events --once",
        "a longer `timeouts.drain` or `shutdown.restart_drain`",
    ),
    Why.INTERNAL_ERROR: WhyWord(
        "a fault of Balance's own: the connection ends, status 500 in the log, which has the traceback",
        "Balance",
        told("Traceback|crashed"),
        "report it, with the lines of the log",
    ),
    Why.BREAKER_OPEN: WhyWord(
        "every backend that is left has its circuit breaker open: 503",
        "backends",
        BACKENDS,
        "the errors that opened it: the `why` of the lines before; then `circuit_breaker` of the pool",
    ),
    Why.LIMIT: WhyWord(
        "every backend has as many as it may, and the queue is full: 503",
        "load",
        STATUS,
        "more backends, a higher `max_connections`, or a longer `queue.size` and `queue.timeout`",
    ),
    Why.QUEUE_TIMEOUT: WhyWord(
        "it waited too long for a backend that was full: 503",
        "load",
        lines_of("queue_timeout"),
        "more backends, a higher `max_connections`, or a longer `queue.timeout`",
    ),
    Why.DENIED: WhyWord(
        "a rule of the route's policy denies it",
        "client",
        ROUTES,
        "`rule` in the line names the rule, `balance routes` shows it",
    ),
    Why.AMBIGUOUS_PATH: WhyWord(
        "a backend may read the path in another way, in which another route or rule would decide: 400",
        "client",
        lines_of("ambiguous_path"),
        "the client; `http.normalize` says in which ways backends read paths",
    ),
    Why.REDIRECTED: WhyWord("a route or a rule answered it with a redirect", "", ROUTES, NOTHING),
    Why.FIXED_RESPONSE: WhyWord("a route answered it with a fixed response", "", ROUTES, NOTHING),
    Why.FAULT_INJECTED: WhyWord(
        "the route's fault injection answered it",
        "operator",
        ROUTES,
        "`policy.fault` of the route, which ends by itself at `until`",
    ),
    Why.SESSION_STORE: WhyWord(
        "Redis, which keeps the sessions, could not be asked, and `redis.on_failure` is `deny`: 503",
        "Redis",
        _REDIS,
        "Redis; or `redis.on_failure: local`, which serves without what it knows",
    ),
    Why.BLOCKED: WhyWord(
        "the access lists, or a block at run time, shut the client out: its connection was reset when it was "
        "accepted, or a trusted proxy named it and its request was answered 403",
        "client",
        LISTS,
        "`balance unblock ADDRESS`, or `security.ip_allowlist` and `ip_blocklist`",
    ),
    Why.TOO_MANY_CONNECTIONS: WhyWord(
        "the client's address has `max_connections_per_ip` already: the connection was reset when it was accepted",
        "client",
        told("one more is reset"),
        "`security.connection_protection.max_connections_per_ip`; many clients may share an address",
    ),
    Why.CONNECTION_RATE: WhyWord(
        "the same, with `max_connection_rate`",
        "client",
        told("one more is reset"),
        "`security.connection_protection.max_connection_rate`; many clients may share an address",
    ),
    Why.PREFLIGHT: WhyWord(
        "a preflight request of a browser was answered here: [security.cors](SECURITY.md#cors)",
        "",
        lines_of("preflight"),
        NOTHING,
    ),
    Why.UNAUTHORIZED: WhyWord(
        "no credentials, or wrong ones: 401, [who asks](SECURITY.md#passwords)",
        "client",
        lines_of("unauthorized"),
        "the client's credentials; `detail` says what is wrong with a token",
    ),
    Why.AUTH_UNAVAILABLE: WhyWord(
        "nobody could say whether the credentials are right: too many are being verified or were wrong, or the "
        "authorizer gives no answer (`security.forward_auth`): 503",
        "the authorizer, load",
        lines_of("auth_unavailable"),
        "the authorizer's pool in `balance backends`; a hash that is cheaper to verify where passwords are many",
    ),
    Why.TLS_PROTOCOL: WhyWord(
        "what came is no ClientHello that can be read, or breaks TLS later; SSL 2; too many records without data",
        "client",
        _HANDSHAKE,
        "nothing for scanners",
    ),
    Why.TLS_NO_SHARED_CIPHER: WhyWord(
        "no version, cipher suite or signature algorithm in common",
        "client",
        _HANDSHAKE,
        "newer clients, or `tls.min_version` and `tls.cipher_suites`",
    ),
    Why.TLS_UNKNOWN_NAME: WhyWord(
        "no certificate is for the name that it asked for, and `tls.strict_sni` is on",
        "client",
        _HANDSHAKE,
        "a certificate for that name in `tls.certificates`",
    ),
    Why.TLS_CLIENT_CERTIFICATE: WhyWord(
        "it gave no certificate, or one that does not count; the log says which of the two, and why (`expired`, `revoked` ...)",
        "client",
        _HANDSHAKE,
        "the client's certificate; `tls.client_auth`, `client_ca_file`, `client_crl_file`",
    ),
    Why.TLS_TIMEOUT: WhyWord(
        "its handshake was not over within `tls.handshake_timeout`",
        "client",
        _HANDSHAKE,
        "nothing for scanners; `tls.handshake_timeout` where real clients are that slow",
    ),
    Why.TLS_NOT_TLS: WhyWord(
        "it spoke something else, plain HTTP (answered 400) say, on a port with TLS",
        "client",
        _HANDSHAKE,
        "the client's URL (https); a health check of whoever stands before Balance",
    ),
    Why.TLS_ABORTED: WhyWord(
        "it left during its handshake, as probes of a port do",
        "client",
        _HANDSHAKE,
        "nothing; a client that pins another certificate leaves so, too",
    ),
    Why.PROXY_HEADER: WhyWord(
        "no good PROXY header came in time, or one from who may send none: the connection was closed",
        "who connects there",
        told("PROXY header|proxy_protocol"),
        "`proxy_protocol.trusted` of the listener, or the sending of the header in the proxy before",
    ),
    Why.RATE_LIMITED: WhyWord(
        "the client has used up its limit: 429, with Retry-After",
        "client",
        lines_of("rate_limited"),
        "`rate_limit` of the listener or route; `report_only: true` tries out another one",
    ),
    Why.RATE_LIMIT_STORE: WhyWord(
        "limits of `scope: redis`: Redis could not be asked, and `redis.on_failure` is `deny`: 503",
        "Redis",
        _REDIS,
        "Redis; or `redis.on_failure: local`",
    ),
    Why.MISDIRECTED: WhyWord(
        "its certificate was verified on a connection to another host than the one of the request: 421, on the same listener",
        "client",
        lines_of("misdirected"),
        "nothing: browsers ask again over a connection of its own",
    ),
    Why.TLS_SERVER_CERTIFICATE: WhyWord(
        "it does not take the certificate that it got",
        "client",
        _HANDSHAKE,
        "a certificate with its whole chain, for the right name and in date, in `tls.certificates`",
    ),
    Why.KEYS_UNAVAILABLE: WhyWord(
        "the keys of tokens can't be had from `security.jwt.jwks_url`: 503 until they come",
        "the issuer's server",
        "balance status --json | jq .keys",
        "the issuer's server, or `security.jwt.jwks_url`",
    ),
    Why.BACKEND_TLS_PROTOCOL: WhyWord(
        "the TLS handshake with the backend failed: it speaks none, no version or suite of ours, or broke off: "
        "502; `detail` says which",
        "backend",
        VALIDATE,
        "the backend's port, `http://` or `https://` of its address, `tls` of the pool",
    ),
    Why.BACKEND_TLS_CERTIFICATE: WhyWord(
        "the backend's certificate is not trusted, has expired, or is not for servers: 502",
        "backend",
        VALIDATE,
        "the backend's certificate, or `tls.ca_file` of the pool",
    ),
    Why.BACKEND_TLS_NAME: WhyWord(
        "the backend's certificate is for another name or address: 502",
        "backend",
        VALIDATE,
        "`tls.server_name` of the pool, or the backend's certificate",
    ),
    Why.BACKEND_TLS_REFUSED: WhyWord(
        "the backend refuses our certificate, or wants one: 502",
        "backend",
        VALIDATE,
        "`tls.client_cert_file` of the pool, or whom the backend trusts",
    ),
    Why.BACKEND_TLS_TIMEOUT: WhyWord(
        "the handshake with the backend was not over within `timeouts.connect`: 504",
        "backend, network",
        VALIDATE,
        "a backend without TLS behind `https://`, or one that is overloaded; `timeouts.connect`",
    ),
    Why.HTTP2_ERROR: WhyWord(
        "a client broke the rules of HTTP/2 in a way that ends its connection; counted beside its requests, which end with it",
        "client",
        told("HTTP/2 connection"),
        "the client's HTTP/2; the log says which rule",
    ),
    Why.HTTP2_FLOOD: WhyWord(
        "a client did too often what costs it nothing and others much: resets, empty frames, pings, heads without an end; its "
        "connection was ended",
        "client",
        told("HTTP/2 connection"),
        "an attack: `balance block ADDRESS`; a client of yours: what the log names",
    ),
    Why.NEEDS_HTTP1: WhyWord(
        "a WebSocket, or credentials of a connection (NTLM, Negotiate), for a backend that speaks HTTP/2 alone: 502",
        "configuration",
        VALIDATE,
        "`protocol: auto` or `http1` of the backend",
    ),
    Why.STREAM_REFUSED: WhyWord(
        "the backend refused the request without looking at it (REFUSED_STREAM, GOAWAY), again and again, or when its body was "
        "not kept any more: 503",
        "backend",
        "balance backends",
        "the backend's limit of streams on a connection; a backend that ends its connections after few requests",
    ),
}
