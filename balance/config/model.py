"""The configuration that the program uses: frozen dataclasses with every default applied; units are in the names.

The simple and the full form of a file, aliases, variables and flags all end up as these classes.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from balance.access_lists.access_lists import AccessLists
from balance.autoscaling.settings import AutoscalerConfig
from balance.config.common_model import HashKey as HashKey
from balance.config.common_model import RateLimit as RateLimit
from balance.config.common_model import Retry as Retry
from balance.config.common_model import RetryBudget as RetryBudget
from balance.config.common_model import Timeouts as Timeouts
from balance.config.route_model import Buffering, Compression, RouteConfig, Transform
from balance.discovery.settings import Discovery
from balance.model import Address, Mode
from balance.security.settings import RouteSecurity
from balance.tls.settings import BackendTls, Certificate, PemFile, ServerTls

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
UNIX: Final = "unix"  # every client that connects over a Unix socket
TrustedProxy = IpNetwork | Literal["unix"]


@dataclass(frozen=True, slots=True)
class BackendConfig:
    name: str
    address: Address
    weight: int = 1  # 0: no new requests; existing sessions stay
    metadata: tuple[tuple[str, str], ...] = ()
    max_connections: int = 0  # requests (HTTP) or sessions (TCP) at once, over all workers; 0 is no limit
    backup: bool = False  # used when no other backend of the pool is ready
    region: str = ""  # "": of every region
    scheme: str = ""  # of its address in the file: http or https; "": none, see BackendTls.is_for
    protocol: str = "http1"  # http1, h2 (over TLS), h2c (plain, by prior knowledge), auto (over TLS, by ALPN)


@dataclass(frozen=True, slots=True)
class PassiveChecks:
    """Outlier detection: when failed requests eject a backend, and for how long. `count` lists the failures and statuses that
    count as failures, for circuit breakers too."""

    enabled: bool = True
    count: tuple[str | int, ...] = ("connect", "reset", "broken", "timeout", 502, 503, 504)
    consecutive_failures: int = 5
    error_rate_threshold: float = 0.5
    min_requests: int = 10
    window_s: float = 60.0
    ejection_time_s: float = 10.0
    max_ejection_percent: int = 50


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Active health checks of a pool. `kind` is a key of `balance.probes.PROBES`."""

    enabled: bool = False
    kind: str = "tcp"
    interval_s: float = 10.0
    timeout_s: float = 3.0
    jitter: float = 0.1
    healthy_threshold: int = 2
    unhealthy_threshold: int = 3
    path: str = "/health"
    method: str = "GET"
    expected_status: tuple[tuple[int, int], ...] = ((200, 200),)  # inclusive ranges
    expected_body: str = ""
    host: str = ""  # http, https, grpc: the Host header and TLS name; tcp: the host to connect to, "" for the backend's
    port: int = 0  # 0: the backend's port
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""  # grpc; empty: the server as a whole
    command: tuple[str, ...] = ()  # exec: a program and its arguments
    slow_start_s: float = 0.0
    panic_threshold: int = 0  # percent of the backends; 0: off
    strictness: str = "strict"  # strict, tolerant: how replies are parsed; the same as http.strictness of the listeners
    tls: BackendTls = field(default_factory=BackendTls)  # as the pool's; of `https` checks of a pool without TLS, too
    send_proxy: str = ""  # the header of the PROXY protocol that its connections begin with, as the pool's do
    passive: PassiveChecks = field(default_factory=PassiveChecks)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The circuit breaker of each backend of a pool, shared by all workers."""

    enabled: bool = False
    failure_threshold: int = 5
    success_threshold: int = 2
    timeout_s: float = 60.0
    half_open_requests: int = 1


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """The queue for requests while every backend is at max_connections. `size` is over all workers; 0: no queue."""

    size: int = 128
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The session cookie's attributes. `secure` None is `auto`: Secure when the client connected over TLS."""

    name: str = "LOAD-BALANCING_SESSION"
    ttl_s: float = 3600.0
    path: str = "/"
    http_only: bool = True
    secure: bool | None = None
    same_site: str = "lax"  # lax, strict, none


@dataclass(frozen=True, slots=True)
class SessionAffinity:
    """Session affinity (sticky sessions), and how a client is identified."""

    enabled: bool = False
    mode: str = "cookie"  # cookie, source-ip, header, redis
    cookie: SessionCookie = field(default_factory=SessionCookie)
    header: str = ""
    ttl_s: float = (
        3600.0  # how long an unused session is kept in Balance's own table (modes source-ip, header and redis) and in Redis
    )
    secret: str = field(default="", repr=False)  # empty: a random one is generated at the start


@dataclass(frozen=True, slots=True)
class SendProxyProtocol:
    """The header of the PROXY protocol that connections to a pool's backends begin with."""

    send: str = "none"  # v1, v2, none

    @property
    def version(self) -> str:
        """v1 or v2; empty for none."""
        return "" if self.send == "none" else self.send


@dataclass(frozen=True, slots=True)
class PoolConfig:
    name: str
    backends: tuple[BackendConfig, ...]
    algorithm: str = "round-robin"  # a key of balance.balancing.POLICIES
    health_check: HealthCheck = field(default_factory=HealthCheck)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    hash_key: HashKey = field(default_factory=HashKey)
    queue: QueueConfig = field(default_factory=QueueConfig)
    affinity: SessionAffinity = field(default_factory=SessionAffinity)
    retry: Retry = field(default_factory=Retry)
    buffering: Buffering | None = None  # None: the pool has none of its own
    proxy_protocol: SendProxyProtocol = field(default_factory=SendProxyProtocol)
    tls: BackendTls = field(default_factory=BackendTls)
    discovery: Discovery | None = None  # None: its backends are those of the file
    autoscaler: AutoscalerConfig = field(default_factory=AutoscalerConfig)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on a client's requests. `body_bytes` 0: no limit, since bodies are streamed."""

    head_bytes: int = 32 * 1024  # nginx 4 x 8k, HAProxy 16k, Envoy 60k
    line_bytes: int = 8 * 1024
    fields: int = 100
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Idle connections to backends. `idle_timeout_s` None is `auto`: 4 s, then learned from each backend."""

    max_idle_per_backend: int = 100
    idle_timeout_s: float | None = None
    max_requests: int = 0


@dataclass(frozen=True, slots=True)
class ReplyHeaders:
    """Header fields that are added to replies."""

    request_id: bool = True
    backend: bool = False


@dataclass(frozen=True, slots=True)
class Http2:
    """Bounds for one connection of HTTP/2."""

    max_concurrent_streams: int = 100
    flood_limit: int = 1000  # of what costs a client nothing and us much; a twentieth of it comes back each second
    max_connection_age_s: float = 0.0  # 0: none
    max_connection_age_grace_s: float = 0.0  # 0: streams may take as long as they like


@dataclass(frozen=True, slots=True)
class HttpConfig:
    h2c: bool = False  # HTTP/2 without TLS, by prior knowledge
    http2: Http2 = field(default_factory=Http2)
    websocket: bool = True
    keepalive: Keepalive = field(default_factory=Keepalive)
    underscore_headers: str = "drop"  # drop, pass, reject
    strictness: str = "strict"  # strict, tolerant: how replies are parsed
    limits: Limits = field(default_factory=Limits)
    forwarded: str = "xff"  # xff, rfc7239, both, none
    request_id: bool = True
    reply_headers: ReplyHeaders = field(default_factory=ReplyHeaders)
    via: bool = False
    grpc_web: bool = False
    error_pages: tuple[tuple[int, str], ...] = ()  # (status, the page's text)
    routes: tuple[RouteConfig, ...] = ()  # in the file's order; none: every request goes to the listener's pool
    transform: Transform = field(default_factory=Transform)  # without routes; a route has its own, with this below it
    compression: Compression = field(default_factory=Compression)  # likewise
    buffering: Buffering = field(default_factory=Buffering)  # likewise
    host: str = "preserve"  # likewise: preserve, backend, or the name that backends get as Host
    normalize: str = "reject"  # reject, forward: paths that read differently once normalized


@dataclass(frozen=True, slots=True)
class ConnectionProtection:
    """The connection guard of a listener: bounds for one client address, over all workers. 0 is no limit."""

    enabled: bool = False
    max_connections_per_ip: int = 100
    max_connection_rate: int = 100  # a second
    read_timeout_s: float = 10.0
    min_body_rate: int = 0  # bytes a second of a request's body, over each stretch of the grace
    min_body_rate_grace_s: float = 10.0

    def bounded(self, timeouts: Timeouts) -> Timeouts:
        """The timeouts of slow clients, none of them longer than `read_timeout_s` while the guard is enabled."""
        if not self.enabled or not self.read_timeout_s:
            return timeouts
        most = self.read_timeout_s
        return replace(
            timeouts,
            client_header_s=min(timeouts.client_header_s or most, most),
            client_body_s=min(timeouts.client_body_s or most, most),
        )


@dataclass(frozen=True, slots=True)
class ProxyProtocol:
    """Whether connections to a listener begin with a header of the PROXY protocol, and from whom."""

    accept: bool = False
    trusted: tuple[TrustedProxy, ...] = ()
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class SniRoute:
    name: str  # in lower case; *. for one label
    pool: str
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    name: str
    addresses: tuple[Address, ...]
    mode: Mode
    pool: str  # with routes the default of their pool, and may be ""
    timeouts: Timeouts = field(default_factory=Timeouts)
    http: HttpConfig = field(default_factory=HttpConfig)
    max_clients: int = 0  # client connections at once, over all workers; 0 is no limit
    access_lists: AccessLists = field(default_factory=AccessLists)
    proxy_protocol: ProxyProtocol = field(default_factory=ProxyProtocol)
    protection: ConnectionProtection = field(default_factory=ConnectionProtection)
    security: RouteSecurity = field(default_factory=RouteSecurity)  # without routes; a route has its own, with this below it
    tls: ServerTls = field(default_factory=ServerTls)
    rate_limit: RateLimit = field(default_factory=RateLimit)  # of requests without a route; routes have theirs
    sni_routes: tuple[SniRoute, ...] = ()  # TCP mode: TLS passes through to a pool by its name

    @property
    def pools(self) -> tuple[str, ...]:
        """Every pool that its requests may go to, and those that are asked about them."""
        if self.http.routes and self.mode is Mode.HTTP:
            found = [use.pool for route in self.http.routes for use in route.uses]
            found += [route.security.forward_auth.asked for route in self.http.routes]
            return tuple(dict.fromkeys(pool for pool in found if pool))
        asked = self.security.forward_auth.asked if self.mode is Mode.HTTP else ""
        pools = (self.pool, *(route.pool for route in self.sni_routes), asked)
        return tuple(dict.fromkeys(pool for pool in pools if pool))


@dataclass(frozen=True, slots=True)
class AdminToken:
    name: str = ""
    token: bytes = field(default=b"", repr=False)  # its SHA-256: the token itself is kept nowhere; b"": nobody has it
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class AdminAuth:
    """Who may ask on the admin port. Without a token in either list, whoever reaches it on this machine."""

    tokens: tuple[AdminToken, ...] = ()  # may change
    read_only_tokens: tuple[AdminToken, ...] = ()


@dataclass(frozen=True, slots=True)
class AdminTls:
    enabled: bool = False
    cert_file: PemFile = field(default_factory=PemFile)
    key_file: PemFile = field(default_factory=PemFile)
    key_password_env: str = ""
    min_version: str = "1.2"
    client_auth: str = "none"  # none, verify, require-and-verify
    client_ca_file: PemFile = field(default_factory=PemFile)
    client_crl_file: PemFile = field(default_factory=PemFile)

    @property
    def certificate(self) -> Certificate:
        return Certificate(self.cert_file, self.key_file, self.key_password_env)

    @property
    def policy(self) -> ServerTls:
        """The same as the settings of a listener."""
        return ServerTls(
            self.enabled,
            (self.certificate,),
            self.min_version,
            alpn_protocols=("http/1.1",),
            client_auth=self.client_auth,
            client_ca_file=self.client_ca_file,
            client_crl_file=self.client_crl_file,
        )


@dataclass(frozen=True, slots=True)
class AdminConfig:
    enabled: bool = True
    address: Address = field(default_factory=lambda: Address("127.0.0.1", 9090))
    auth: AdminAuth = field(default_factory=AdminAuth)
    tls: AdminTls = field(default_factory=AdminTls)
    dashboard: bool = True


TIME_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MAX_TIME_BUCKETS: Final = 14


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    enabled: bool = True
    address: Address | None = None  # None: on the admin port only
    path: str = "/metrics"
    buckets: tuple[float, ...] = TIME_BUCKETS_S  # upper bounds of histograms of times, in seconds
    backend_histograms: str = "auto"  # backend, pool, off
    aliases: tuple[str, ...] = ()  # loadbalancer, go_balancer

    @property
    def time_buckets_us(self) -> tuple[int, ...]:
        """The bounds in microseconds, as they are counted by."""
        return tuple(round(bound * 1_000_000) for bound in self.buckets)


@dataclass(frozen=True, slots=True)
class AccessLog:
    enabled: bool = False
    format: str = "json"  # json, combined, template
    output: str = "stdout"  # stdout, stderr, a path or syslog
    template: str = ""  # of format template
    sample: float | None = None  # None: all, or with a slow_threshold none
    slow_threshold_s: float = 0.0  # 0: nothing is slow


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    level: str = "info"
    format: str = "text"
    output: str = "stderr"
    access_log: AccessLog = field(default_factory=AccessLog)


@dataclass(frozen=True, slots=True)
class RedisConfig:
    """The store that several machines share; none without a `url`."""

    url: str = field(default="", repr=False)  # may have a password
    prefix: str = "balance:"
    timeout_s: float = 0.05
    on_failure: str = "local"  # local, deny


@dataclass(frozen=True, slots=True)
class TracingConfig:
    enabled: bool = False
    service_name: str = "balance"
    endpoint: str = "http://localhost:4318"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may let us in
    sample_rate: float = 1.0
    propagate: tuple[str, ...] = ("w3c",)
    trust: tuple[TrustedProxy, ...] | None = None  # whose traces are gone on with; None: trusted_proxies


@dataclass(frozen=True, slots=True)
class Config:
    """A complete, validated configuration."""

    listeners: tuple[ListenerConfig, ...]
    pools: tuple[PoolConfig, ...]
    workers: int = 1
    user: str = ""  # whom control and workers become, by name or number; "": what the supervisor is
    group: str = ""  # "": the user's own
    trusted_proxies: tuple[TrustedProxy, ...] = ()
    client_address: str = "xff"  # xff, rfc7239: the header fields of a trusted proxy that have the client's address
    admin: AdminConfig = field(default_factory=AdminConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    redis: RedisConfig = field(default_factory=RedisConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    drain_s: float = 20.0  # plus shutdown_delay_s within Kubernetes' default grace period of 30 s
    shutdown_delay_s: float = 5.0
    restart_drain_s: float = 3600.0
    source: str = ""  # the file that it was read from

    @property
    def shares_limits(self) -> bool:
        """Whether a rate limit is counted over several machines."""
        return bool(self.redis.url) and any(
            limit.enabled and limit.scope == "redis"
            for listener in self.listeners
            if listener.mode is Mode.HTTP
            for limit in [route.rate_limit for route in listener.http.routes] or [listener.rate_limit]
        )

    def pool(self, name: str) -> PoolConfig:
        """The pool of that name; KeyError when there is none."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        raise KeyError(name)
