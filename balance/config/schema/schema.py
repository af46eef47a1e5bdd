"""Every key of a configuration file: type, default and description. Source of validation, JSON Schema and reference.

`default` is the text of the default value for the documentation; the value itself is in `balance.config.model`, and a test
compares the two. Sections have no defaults of their own, so that build() can merge them key by key.
"""

from __future__ import annotations

from typing import Annotated

from balance.config.model import TrustedProxy
from balance.config.schema import scalars as kind
from balance.config.schema.access_sections import (
    AccessSection,
    ListenerProxyProtocolSection,
    ListenerSecuritySection,
    PoolProxyProtocolSection,
    ProxyProtocolSection,
)
from balance.config.schema.addresses import LISTEN, TRUSTED_PROXY
from balance.config.schema.common_sections import (
    PROTOCOL,
    BackendSection,
    ListenerTimeoutsSection,
    LoadBalancerSection,
    PoolTimeoutsSection,
    RetrySection,
    TimeoutsSection,
)
from balance.config.schema.hash_keys import SESSION_HEADER
from balance.config.schema.rate_limit_section import OlderRateLimitSection, RateLimitSection
from balance.config.schema.redis_section import RedisSection
from balance.config.schema.route_sections import RouteLimitsSection, RouteSection
from balance.config.schema.section import Count, Flag, Mode, Name, Period, Section, Text, Timeout, key, one_or_list
from balance.config.schema.transform_sections import BufferingSection, CompressionSection, OwnBufferingSection, TransformSection
from balance.config.schema.values.admin_sections import AdminSection
from balance.config.schema.values.autoscaler_section import AutoscalerSection
from balance.config.schema.values.discovery_section import DiscoverySection
from balance.config.schema.values.log_values import LOG_OUTPUT, TEMPLATE
from balance.config.schema.values.metrics_section import MetricsSection
from balance.config.schema.values.tls_sections import BackendTlsSection, ServerTlsSection, TlsSection
from balance.config.schema.values.tracing_section import TracingSection
from balance.config.schema.values.transform_values import HTTP_HOST
from balance.model import Address

CHECKS = ("tcp", "http", "https", "grpc", "exec")

_LISTEN = one_or_list(LISTEN)
Account = Annotated[str, kind.text_matching(r"[A-Za-z0-9_.][A-Za-z0-9_.@-]*\$?", "the name or number of an account", 255)]
_PASSIVE_CHECK_COUNT = one_or_list(kind.PASSIVE_CHECK_COUNT)
_STATUSES = one_or_list(kind.STATUS_RANGE)
Listen = Annotated[list[Annotated[Address, LISTEN]], _LISTEN[0], _LISTEN[1]]
Counted = Annotated[list[Annotated[str | int, kind.PASSIVE_CHECK_COUNT]], _PASSIVE_CHECK_COUNT[0], _PASSIVE_CHECK_COUNT[1]]
Statuses = Annotated[list[Annotated[tuple[int, int], kind.STATUS_RANGE]], _STATUSES[0], _STATUSES[1]]


class PassiveChecksSection(Section):
    """Traffic itself shows that a backend is unwell: it is ejected for a while. 4xx and what clients break off never count.
    Never so that nobody is left: where nobody else is ready, whoever passes the health checks is asked all the same."""

    section_name = "passive_checks"
    enabled: Flag = key("Whether backends are ejected.", True)
    count: Counted = key(
        "What speaks against a backend, for circuit_breaker too: connect (no connection), reset (closed before a reply), "
        "broken (a reply that breaks off or can't be understood), timeout (no reply in time, or none that goes on), and "
        "statuses from 500 to 599. Not 500 unless asked: one page with a bug would eject the whole backend. A TCP listener "
        "knows connect, and reset before the backend's first byte.",
        ["connect", "reset", "broken", "timeout", 502, 503, 504],
    )
    consecutive_failures: Annotated[int, kind.integer(1, 1_000_000)] = key("In a row, over all workers: ejected.", 5)
    error_rate_threshold: Annotated[float, kind.fraction()] = key("The share of its requests that failed: ejected.", 0.5)
    min_requests: Annotated[int, kind.integer(1, 1_000_000)] = key("Fewer within the window say nothing about a share.", 10)
    window: Period = key("How far back the share looks.", "1m")
    ejection_time: Period = key(
        "How long the first ejection lasts; the second in a row twice as long, and so on up to 5m. Then one request at a time "
        "tries it. Passing health checks that ask for more than a connection (not tcp) end it sooner.",
        "10s",
    )
    max_ejection_percent: Annotated[int, kind.integer(0, 100)] = key(
        "Never more of the pool at a time, rounded down; nor the last backend that is ready.", 50
    )


class HealthCheckSection(Section):
    """Asks every backend on a timer whether it works."""

    section_name = "health_check"
    enabled: Flag = key("Whether backends are asked at all.", False)
    type: Annotated[str, kind.choice(*CHECKS)] = key(
        "tcp: a connection opens. http, https: a request is answered as expected; https verifies the certificate. grpc: its "
        "health service says SERVING. exec: a command of yours exits with 0. Default: exec when a command is given, http when "
        "a key below that only http has is given, else tcp."
    )
    interval: Period = key(
        "From one question to the next. At most 1s while a change is in the making; three times as long, up to 15s, while a "
        "backend stays unhealthy.",
        "10s",
    )
    timeout: Period = key("For the answer; shorter than the interval.", "3s")
    jitter: Annotated[float, kind.fraction()] = key(
        "How far an interval may stray, so that questions don't come all at once.", 0.1
    )
    healthy_threshold: Annotated[int, kind.integer(1, 1000)] = key("Good answers in a row that make it healthy.", 2)
    unhealthy_threshold: Annotated[int, kind.integer(1, 1000)] = key("Bad answers in a row that make it unhealthy.", 3)
    path: Annotated[str, kind.URL_PATH] = key("What is asked for (http, https).", "/health")
    method: Annotated[str, kind.METHOD] = key("How it is asked for (http, https).", "GET")
    expected_status: Statuses = key("A status, a range like 200-299, or a list of those (http, https).", 200)
    expected_body: Text = key("Text that the reply's body must contain (http, https).", "")
    host: Annotated[str, kind.text_matching(r"[!-~]*", "a host name", 255)] = key(
        "http, https, grpc: who is asked, and whom the certificate must be for. tcp: the machine to ask, when that is not the "
        "backend's own.",
        "",
    )
    port: Annotated[int, kind.integer(0, 65535)] = key("Where to ask, when that is not the backend's own port.", 0)
    headers: dict[Annotated[str, kind.FIELD_NAME], Annotated[str, kind.FIELD_VALUE]] = key("Fields to send (http, https).", {})
    service: Annotated[str, kind.text_matching(r"[!-~]*", "the name of a gRPC service", 255)] = key(
        "The service that is asked about (grpc); without it the server as a whole.", ""
    )
    command: list[Text] = key(
        "A program and its arguments, without a shell (exec). It finds BALANCE_BACKEND_NAME, _ADDRESS, _HOST and _PORT in its "
        "environment.",
        [],
    )
    slow_start: Timeout = key(
        "How long a backend that has come back gets a growing part of its share, from a tenth on; 0 is off.", "0s"
    )
    panic_threshold: Annotated[int, kind.integer(0, 100)] = key(
        "Percent: when fewer of the backends are ready, all are used, unless none is and a backup is. 0 is off.", 0
    )
    passive_checks: PassiveChecksSection = key("When traffic shows that a backend is unwell.")


class CircuitBreakerSection(Section):
    """Keeps traffic from a backend that fails, for all workers at once: open, none; half-open, a few requests find out.

    It opens after so many failures in a row, or when half of at least 20 requests within 10s failed; what counts says
    health_check.passive_checks.count. Where nobody else is ready it keeps nobody away."""

    section_name = "circuit_breaker"
    enabled: Flag = key("Whether each backend has one.", False)
    failure_threshold: Annotated[int, kind.integer(1, 1_000_000)] = key("Failures in a row, over all workers: open.", 5)
    success_threshold: Annotated[int, kind.integer(1, 1_000_000)] = key("Trials that go well: closed.", 2)
    timeout: Period = key("How long it is open; twice as long each time that a trial fails, up to 5m.", "60s")
    half_open_requests: Annotated[int, kind.integer(1, 1_000_000)] = key("Trials at a time, over all workers.", 1)


class QueueSection(Section):
    """Where requests wait while every backend that may serve them has max_connections; first come, first served. Without room
    in it, or when a request's time is over, the answer is 503 with Retry-After; in TCP mode the connection is reset."""

    section_name = "queue"
    size: Count = key("How many may wait, over all workers; each has its part, one at least. 0: nobody waits.", 128)
    timeout: Period = key("How long one may wait.", "5s")


class SessionCookieSection(Section):
    """The cookie that names a session. Its value tells nobody which backend it stands for, and can't be guessed. It goes on to
    the backend with the client's others."""

    section_name = "cookie"
    name: Annotated[str, kind.text_matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of a cookie", 100)] = key(
        "Its name.", "LOAD-BALANCING_SESSION"
    )
    ttl: Period = key("How long a client keeps it. It is set once, and again when the session moves.", "1h")
    path: Annotated[str, kind.text_matching(r"/[!-:<-~]*", "a path without spaces and ;", 2000)] = key("Where it is sent.", "/")
    http_only: Flag = key("Whether scripts in pages can't read it.", True)
    secure: Annotated[bool | None, kind.FLAG_OR_AUTO] = key(
        "Whether it is sent over TLS alone. auto: when the client came over TLS, which a trusted proxy may tell, and with "
        "same_site: none, which browsers take only so.",
        "auto",
    )
    same_site: Annotated[str, kind.choice("lax", "strict", "none")] = key(
        "Whether other sites' pages may bring it. none: also in frames and requests of theirs; the cookie is Secure then.",
        "lax",
    )


class SessionAffinitySection(Section):
    """A client's requests go where its first one went, while that backend lives. A backend that drains keeps its sessions; one
    that is dead, ejected or in maintenance loses them."""

    section_name = "session_affinity"
    enabled: Flag = key("Whether sessions are kept.", False)
    mode: Annotated[str, kind.choice("cookie", "source-ip", "header", "redis")] = key(
        "How a client is known: by a cookie that is set for it (HTTP), by its address (an IPv6 client by its /64), by a field "
        "that it sends (HTTP), or by a cookie whose meaning is in Redis (HTTP), so that every machine knows where it moved. "
        "source-ip and header are remembered here, for all workers; so is redis where there is no redis.url.",
        "cookie",
    )
    cookie: SessionCookieSection = key("The cookie.")
    header: Annotated[str, SESSION_HEADER] = key("mode header: the field with the session's name.")
    ttl: Period = key("source-ip, header, redis: how long a session without a request is remembered.", "1h")
    secret: Annotated[str, kind.SECRET] = key(
        "What the cookie's values are made with; white space around it does not count. Without it something random, made at "
        "each start; with the same one, several balancers and every restart know each other's cookies.",
        "",
    )


class PoolSection(Section):
    """Backends that can stand in for each other. Keys given here win over those at the top, one by one."""

    section_name = "pool"
    backends: list[BackendSection] = key("The backends; at least one, unless discovery finds some.")
    backend_protocol: Annotated[str, PROTOCOL] = key(
        "What those of its backends speak that have no protocol of their own; it wins over backend_protocol at the top.",
        "http1",
    )
    discovery: DiscoverySection = key("Who says which backends it has besides; it wins over discovery at the top, key by key.")
    autoscaler: AutoscalerSection = key("How many backends it should have; it wins over autoscaler at the top, key by key.")
    load_balancer: LoadBalancerSection = key("Which backend comes next.")
    health_check: HealthCheckSection = key("How backends are asked whether they work.")
    circuit_breaker: CircuitBreakerSection = key("When a backend that fails is left alone.")
    queue: QueueSection = key("Where requests wait for a backend that is not full.")
    session_affinity: SessionAffinitySection = key("Whether a client's requests stay together.")
    retry: RetrySection = key("When a request is tried again.")
    timeouts: PoolTimeoutsSection = key("Durations towards backends; they win over a listener's.")
    proxy_protocol: PoolProxyProtocolSection = key("What its backends are told of a connection.")
    buffering: OwnBufferingSection = key("Which bodies are taken whole; it wins over a listener's.")
    tls: BackendTlsSection = key("TLS to its backends; it wins over tls.backend at the top, key by key.")


class KeepaliveSection(Section):
    """Idle connections to backends, kept for the next request."""

    section_name = "keepalive"
    max_idle_per_backend: Count = key("How many wait, per backend and worker; 0 keeps none.", 100)
    idle_timeout: Annotated[float | None, kind.duration(or_auto=True)] = key(
        "How long one waits. auto: 4 s, then what the backend says (Keep-Alive: timeout=) and does.", "auto"
    )
    max_requests: Count = key("Requests after which a connection is closed; 0 is no bound.", 0)


class Http2Section(Section):
    """Bounds for one connection of HTTP/2 from a client."""

    section_name = "http2"
    max_concurrent_streams: Annotated[int, kind.integer(1, 10_000)] = key(
        "Requests at once. What comes beyond is refused by a word that says to ask again (REFUSED_STREAM).", 100
    )
    flood_limit: Annotated[int, kind.integer(100, 1_000_000)] = key(
        "How often a client may do what costs it nothing and others much, before its connection is ended: resets within a "
        "second, messages that are malformed, pings, settings, empty frames; the small ones count a tenth. A twentieth of it "
        "comes back each second. At three quarters the connection ends in order.",
        1000,
    )
    max_connection_age: Timeout = key(
        "How old a client's connection becomes, give or take a tenth: then it takes no new streams, and its client "
        "makes another, which may find another instance. Nothing is lost. 0: as old as it likes.",
        "0",
    )
    max_connection_age_grace: Timeout = key(
        "How long the streams of such an old connection may go on; then they are cut. 0: as long as they like.", "0"
    )


class LimitsSection(RouteLimitsSection):
    """Bounds on what a client may send. Always on."""

    section_name = "limits"
    head: Annotated[int, kind.size(256)] = key("The head of a request in all; then 431.", "32KB")
    line: Annotated[int, kind.size(64)] = key("The request line (then 414) or one header field (then 431).", "8KB")
    fields: Annotated[int, kind.integer(1, 100_000)] = key("Header fields in a request; then 431.", 100)


class ReplyHeadersSection(Section):
    """What a reply tells its client of the way it took."""

    section_name = "reply_headers"
    request_id: Flag = key("X-Request-ID: the request's id, as logs have it; a backend's own stays.", True)
    backend: Flag = key(
        "X-Backend: the name of the backend that the reply is from, or was to be from; its own such field is dropped.", False
    )


class HttpSection(Section):
    """How HTTP is spoken."""

    section_name = "http"
    h2c: Flag = key(
        "Whether HTTP/2 is spoken without TLS, too, to clients that begin with it (prior knowledge); others speak HTTP/1. With "
        "TLS it is `tls.alpn_protocols` that says so. There is no Upgrade from HTTP/1.1.",
        False,
    )
    websocket: Flag = key(
        "Whether an Upgrade is passed on: to WebSocket, or to any protocol but HTTP and TLS. Over HTTP/2: whether WebSocket is "
        "offered (extended CONNECT, RFC 8441).",
        True,
    )
    http2: Http2Section = key("Bounds for a connection of HTTP/2.")
    keepalive: KeepaliveSection = key("Idle connections to backends.")
    underscore_headers: Annotated[str, kind.choice("drop", "pass", "reject")] = key(
        "Fields with a _ in their name, which CGI and WSGI can't tell from a -.", "drop"
    )
    strictness: Annotated[str, kind.choice("strict", "tolerant")] = key(
        "How replies are read. `tolerant` is for old backends, and takes what breaks a rule but has one reading: bare LF as "
        "line ends of a head, one Content-Length several times, Transfer-Encoding in a 204, statuses 600 to 999, spaces behind "
        "a chunk's size; it goes on as the rule has it. Requests are always read strictly.",
        "strict",
    )
    limits: LimitsSection = key("Bounds on what a client may send.")
    forwarded: Annotated[str, kind.choice("xff", "rfc7239", "both", "none")] = key(
        "Which fields tell the backend who asked: X-Forwarded-*, Forwarded, both or none.", "xff"
    )
    request_id: Flag = key("Whether each request gets an X-Request-ID.", True)
    reply_headers: ReplyHeadersSection = key("What a reply tells its client of the way it took.")
    via: Flag = key("Whether Via names this proxy (RFC 9110 section 7.6.3).", False)
    grpc_web: Flag = key(
        "Whether calls of gRPC-Web, which browsers can make, go to backends as gRPC; else as they are. GRPC.md.", False
    )
    error_pages: dict[Annotated[int, kind.ERROR_STATUS], Annotated[str, kind.FILE]] = key(
        "HTML files to answer errors with, by status; a path is from this file's folder.", {}
    )
    routes: list[RouteSection] = key(
        "Which requests go where; a listener's list stands instead of the one at the top. Without routes all go to its pool."
    )
    transform: TransformSection = key("What is changed in requests and replies.")
    compression: CompressionSection = key("Whether replies are compressed.")
    buffering: BufferingSection = key("Which bodies are taken whole.")
    host: Annotated[str, HTTP_HOST] = key(
        "What backends get as Host. preserve: what the client sent. backend: the backend's address. Else this name.", "preserve"
    )
    normalize: Annotated[str, kind.choice("reject", "forward")] = key(
        "Paths that read differently once %61, //, /./ and /../ are resolved, where routes or rules look at paths. reject: 400 "
        "when both readings do not lead to the same; forward: the resolved one is judged and sent.",
        "reject",
    )


MAX_CLIENTS = (
    "Client connections at once, over all workers. When all are in use, the client that has been idle for longest is closed "
    "for one that comes; where none is idle, who comes waits in the kernel's backlog. 0: as many as there are descriptors for."
)


class ListenerSection(Section):
    """An address that clients connect to. Keys given here win over those at the top, one by one."""

    section_name = "listener"
    name: Name = key("Its name in logs. Default: listener-1, listener-2, ... by position.")
    listen: Listen = key(":port, host:port, [v6]:port, unix:/path, or a list of those.", required=True)
    mode: Mode = key("What it speaks. Default: the mode at the top.")
    pool: Name = key("Who does the work. Not needed when there is one pool.")
    max_clients: Count = key(MAX_CLIENTS, 0)
    proxy_protocol: ListenerProxyProtocolSection = key("Who says whose its connections are.")
    security: ListenerSecuritySection = key("Who may connect to it.")
    rate_limit: RateLimitSection = key("How often a client may ask.")
    http: HttpSection = key("How HTTP is spoken.")
    timeouts: ListenerTimeoutsSection = key("Durations; a pool's win over them.")
    tls: ServerTlsSection = key("TLS towards its clients.")


class SecuritySection(AccessSection):
    """Who may connect, and who is believed. The peer is judged when it connects, before its first byte is read: who may not is
    reset. Where a trusted proxy tells in HTTP whose request it is, that client is judged, too, for each request (403)."""

    section_name = "security"
    trusted_proxies: list[Annotated[TrustedProxy, TRUSTED_PROXY]] = key(
        "Who is believed on whom a request comes from: addresses and networks; unix: whoever connects over a Unix socket.", []
    )
    client_address: Annotated[str, kind.choice("xff", "rfc7239")] = key(
        "In which fields they are: xff is X-Forwarded-For, -Proto, -Host and -Port, rfc7239 is Forwarded. The others are "
        "dropped: a proxy that writes the ones passes on what its clients wrote in the others. The client is the first from "
        "the right that is no trusted proxy; where an entry can't be read, nobody knows, and a warning says so.",
        "xff",
    )
    rate_limit: OlderRateLimitSection = key("Older names of the keys of rate_limit.")


class ResilientBreakerSection(Section):
    """Older names of the keys of `circuit_breaker`."""

    section_name = "resilience.circuit_breaker"


class ResilientRetrySection(Section):
    """Older names of the keys of `retry`."""

    section_name = "resilience.retry"


class ResilienceSection(Section):
    """An older home of `circuit_breaker` and `retry`."""

    section_name = "resilience"
    circuit_breaker: ResilientBreakerSection = key("Older names of the keys of circuit_breaker.")
    retry: ResilientRetrySection = key("Older names of the keys of retry.")


class AccessLogSection(Section):
    """A line for every request or connection."""

    section_name = "access_log"
    enabled: Flag = key("Whether it is written.", False)
    format: Annotated[str, kind.choice("json", "combined", "template")] = key(
        "json, combined as Apache has it, or as `template` says.", "json"
    )
    template: Annotated[str, TEMPLATE] = key(
        'With format template: a line like `{client} "{method} {path}" {status}`; `{path:json}` is a field as JSON.', ""
    )
    output: Annotated[str, LOG_OUTPUT] = key(
        "stdout, stderr, a file, syslog:PATH, syslog+udp://HOST:PORT or syslog+tcp://HOST:PORT.", "stdout"
    )
    sample: Annotated[float | None, kind.fraction()] = key(
        "The part of normal requests that is logged. Default: 1, or 0 with a `slow_threshold`.", None
    )
    slow_threshold: Timeout = key("From here on a request is slow, and logged whatever the sample. 0: none is.", "0")


class LoggingSection(Section):
    """What the program says about itself."""

    section_name = "logging"
    level: Annotated[str, kind.choice("debug", "info", "warning", "error", spellings={"warn": "warning"})] = key(
        "The least that is said.", "info"
    )
    format: Annotated[str, kind.choice("text", "json")] = key("For people or for machines.", "text")
    output: Annotated[str, LOG_OUTPUT] = key(
        "stdout, stderr, a file, or syslog as in access_log, where HOST is an address.", "stderr"
    )
    access_log: AccessLogSection = key("A line for every request or connection.")


class ShutdownSection(Section):
    """How the process stops; together with timeouts.drain it must fit into the grace time of what stops it (Kubernetes 30s)."""

    section_name = "shutdown"
    delay: Timeout = key("After /ready says no and before connections are refused: others need time to see it.", "5s")
    restart_drain: Timeout = key(
        "How long old workers may finish what they have after a rolling restart or an upgrade: nobody waits for that.", "1h"
    )


class RootSection(Section):
    """A whole configuration: the simple form (mode, listen, backends) or the full one (listeners, pools)."""

    section_name = ""
    mode: Mode = key("What listeners speak.", "http")
    listen: Listen = key("Simple form: the address of the one listener, called main, or a list.")
    listeners: list[ListenerSection] = key("Full form: every listener.")
    max_clients: Count = key(f"Of every listener that doesn't say otherwise. {MAX_CLIENTS}", 0)
    workers: Annotated[int, kind.count_or_auto(1, 1024)] = key("Processes that carry traffic; auto: one per usable CPU.", 1)
    user: Account = key(
        "Whom the processes that carry traffic, and the one of the admin port, become, by name or number, as nginx's `user`. "
        "The one that was started stays what it is: it binds ports, reads the files that this one names, and opens logs. A "
        "reload does not change it. Default: none, all stay what they were started as."
    )
    group: Account = key("Their group, by name or number. Default: the user's own. Other groups they have none.")
    backends: list[BackendSection] = key("Simple form: the backends of the one pool, called default.")
    pools: dict[Name, PoolSection] = key("Full form: every pool, by name.")
    backend_protocol: Annotated[str, PROTOCOL] = key("What backends speak whose pool doesn't say otherwise.", "http1")
    discovery: DiscoverySection = key("Who says which backends the one pool has, or every pool that has none.")
    autoscaler: AutoscalerSection = key("How many backends a pool should have, for every pool that doesn't say otherwise.")
    load_balancer: LoadBalancerSection = key("Which backend comes next, in every pool that doesn't say otherwise.")
    health_check: HealthCheckSection = key("How backends are asked, in every pool that doesn't say otherwise.")
    circuit_breaker: CircuitBreakerSection = key("When a backend that fails is left alone, in every pool likewise.")
    queue: QueueSection = key("Where requests wait for a backend that is not full, in every pool likewise.")
    session_affinity: SessionAffinitySection = key("Whether a client's requests stay together, in every pool likewise.")
    retry: RetrySection = key("When a request is tried again, in every pool that doesn't say otherwise.")
    resilience: ResilienceSection = key("Older names of circuit_breaker and retry.")
    timeouts: TimeoutsSection = key("Durations, for every pool and listener that doesn't say otherwise.")
    http: HttpSection = key("How HTTP is spoken, by every listener that doesn't say otherwise.")
    proxy_protocol: ProxyProtocolSection = key("Who says whose connections are, and what backends are told of them.")
    security: SecuritySection = key("Who may connect, and who is believed.")
    tls: TlsSection = key("TLS towards clients, of every listener that doesn't say otherwise, and to backends.")
    rate_limit: RateLimitSection = key("How often a client may ask, at every listener that doesn't say otherwise.")
    admin: AdminSection = key("The port for operators.")
    metrics: MetricsSection = key("Figures for Prometheus.")
    redis: RedisSection = key("The store that several machines share.")
    logging: LoggingSection = key("What the program says about itself.")
    tracing: TracingSection = key("Traces for OpenTelemetry.")
    shutdown: ShutdownSection = key("How the process stops.")
