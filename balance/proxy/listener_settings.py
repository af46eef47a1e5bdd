"""The settings of one HTTP listener as its connections use them, with its request reader and error pages.

Those of a route are a copy with what it has of its own, made at its first request.

A reload makes new ones. A connection changes to them at its next request; the request under way ends with those that it began
with.
"""

from __future__ import annotations

from typing import Final

from balance.config.model import SessionCookie, Timeouts
from balance.config.route_model import Buffering
from balance.holder import Holder
from balance.host_names import normalize_host
from balance.http1.forwarding.forwarded_headers import ForwardedClients, forwarding_lines
from balance.http1.forwarding.realip import TrustedProxies
from balance.http1.request import RequestReader
from balance.proxy.listener_access import JudgedClients, ListenerAccess
from balance.proxy.net.timer_wheel import NEVER
from balance.proxy.worker_context import WorkerContext
from balance.retry.decision import RetryPolicy
from balance.runtime.backend import Backend
from balance.runtime.counters import NO_ROUTE
from balance.runtime.max_connections import UNLIMITED
from balance.runtime.pool import Pool
from balance.runtime.pool_view import view_by
from balance.runtime.routes import Route
from balance.runtime.snapshot import Listener

# What the settings of a route have none of: only the listener's are asked. Each would lead back to where it is held.
_LISTENER_ONLY: Final = ("_client_lines", "_regional", "_routed", "routed", "sole_hosts", "successor")
# What the settings of a route have from the listener's, where the route has none of its own.
_COPIED: Final = (
    "_view",
    "body_rate",
    "body_rate_grace_s",
    "buffering",
    "connect_s",
    "cookie",
    "forwarded",
    "grpc_web",
    "has_http2",
    "host_names",
    "is_closing",
    "keepalive_s",
    "listener",
    "max_idle",
    "max_requests",
    "pages",
    "plain_views",
    "pool",
    "port",
    "read_s",
    "reader",
    "replies",
    "reply_s",
    "request_id",
    "request_s",
    "retrying",
    "route",
    "route_block",
    "route_hit_at",
    "router",
    "scheme",
    "sends_backend",
    "sends_only_id",
    "sends_request_id",
    "series",
    "staged",
    "timeouts",
    "tracer",
    "trusted",
    "via",
    "views",
    "worker",
)

MAX_HOSTS: Final = 1024  # spellings of hosts that are remembered; clients may make up any number
MAX_CLIENTS: Final = 1024  # addresses whose lines are remembered


class ListenerSettings:
    """Shared by all connections of a listener in one worker."""

    __slots__ = (*_LISTENER_ONLY, *_COPIED)

    def __init__(self, worker: WorkerContext, listener: Listener, port: int, like: ListenerSettings | None = None) -> None:
        """`port` is the listening port, for X-Forwarded-Port; 0 for a Unix socket. `like` are those that a copy is made of."""
        http = listener.http
        self.worker = worker
        self.tracer = worker.tracer  # None: no traces
        self.listener = listener
        self.successor: Holder[ListenerSettings] | None = None  # the newest, after a reload
        self.is_closing = False  # closed, draining or crowded: every reply has `Connection: close`
        self.router = listener.router
        self.route = ""
        self.route_block = 0  # the first cell of the route's counters; 0 for none
        self.route_hit_at = 0.0  # when the route's last hit was noted, seconds, monotonic
        self.series = NO_ROUTE  # the route's part of a series' key
        self.staged: Route | None = None  # the route that does more with a request than to say where to
        # By Host as sent: the routed ones, of hosts of which one route takes all requests.
        self.sole_hosts: dict[bytes | None, ListenerSettings] = {}
        self.host_names: dict[bytes, str] = {}  # normalized, by Host as sent
        self.routed: dict[Route, ListenerSettings] = {}  # of the routes' own pools
        self._routed: dict[tuple[Route, str], ListenerSettings] = {}
        self._regional: dict[tuple[Route, str, str], ListenerSettings] = {}  # those of routes that go by regions
        self.port = port
        self.scheme = "https" if listener.has_tls else "http"
        self._view: Holder[Pool] | None = None  # of `pool`, where that is a view
        self._use(listener.pool, listener.timeouts, listener.cookie, listener.retrying, http.buffering)
        self.reader: RequestReader = RequestReader(http) if like is None else like.reader
        self.replies = worker.tolerant_reader if http.strictness == "tolerant" else worker.response_reader
        self.forwarded = http.forwarded
        self.via = http.via
        self.grpc_web = http.grpc_web
        self._client_lines: dict[str, tuple[bytes, bytes]] = {}
        self.request_id = http.request_id
        self.sends_request_id = http.reply_headers.request_id
        self.sends_backend = http.reply_headers.backend
        self.sends_only_id = self.sends_request_id and not self.sends_backend  # the usual case
        if like is None:
            trusted = TrustedProxies(listener.trusted_proxies)
            self.trusted: TrustedProxies | None = trusted if trusted else None
            self.plain_views: ForwardedClients = ForwardedClients(
                listener.client_address,
                http.forwarded,
                trusted,
                port,
                self.scheme,
                via=http.via,
                verifies_clients=listener.verifies_clients,
            )
        else:
            self.trusted, self.plain_views = like.trusted, like.plain_views
        self.views = self.plain_views
        self.pages = dict(http.error_pages)
        self.max_idle = http.keepalive.max_idle_per_backend
        self.max_requests = http.keepalive.max_requests or UNLIMITED
        guard = listener.protection
        self.body_rate = guard.min_body_rate if guard.enabled else 0  # bytes a second
        self.body_rate_grace_s = guard.min_body_rate_grace_s

    def _use(
        self, pool: Pool, timeouts: Timeouts, cookie: SessionCookie | None, retrying: RetryPolicy | None, buffering: Buffering
    ) -> None:
        self.pool = pool
        self.has_http2 = any(backend.protocol for backend in pool.backends)  # some of them can serve gRPC
        self.buffering = buffering if buffering.request_bytes or buffering.response_bytes else None
        self.cookie = cookie
        self.timeouts = timeouts
        self.retrying = retrying
        self.read_s = timeouts.read_s or NEVER  # the three timeouts that every request sets
        self.keepalive_s = timeouts.keepalive_s or NEVER
        self.request_s = timeouts.request_s or NEVER
        per_try_s = (retrying.per_try_s if retrying is not None else 0.0) or NEVER
        connect_s = min(timeouts.connect_s or NEVER, per_try_s)
        self.reply_s = min(self.read_s, per_try_s)  # from the request's last byte to the reply's head, seconds
        self.connect_s = 0.0 if connect_s == NEVER else connect_s  # 0 is none, as in dial()

    def client_lines(self, peer: str) -> tuple[bytes, bytes]:
        """See forwarding_lines(); connections from one address share theirs, 150 bytes each."""
        lines = self._client_lines.get(peer)
        if lines is None:
            if len(self._client_lines) >= MAX_CLIENTS:
                self._client_lines.clear()
            lines = forwarding_lines(self.forwarded, peer, self.port, self.scheme, via=self.via)
            self._client_lines[peer] = lines
        return lines

    def judge(self, access: ListenerAccess | None) -> None:
        """From now on the clients that trusted proxies name are judged, too; None: no more."""
        self.views = self.plain_views if access is None else JudgedClients(self.plain_views, access)

    def host_name(self, host: bytes) -> str:
        """The normalized name of a Host as sent; kept for the next request, of a bounded number."""
        if len(self.host_names) >= MAX_HOSTS:
            self.host_names.clear()
        name = self.host_names[host] = normalize_host(host.decode("ascii"))
        return name

    def remember_sole(self, host: bytes | None, settings: ListenerSettings) -> None:
        """Every request of this Host takes the route of `settings`."""
        if len(self.sole_hosts) >= MAX_HOSTS:
            self.sole_hosts.clear()
        self.sole_hosts[host] = settings

    def for_route(self, route: Route, pool: str) -> ListenerSettings:
        """Those of a request that takes `route` to this one of its pools; "" while no pool is chosen."""
        known = self._routed.get((route, pool))
        return known if known is not None else self._add_route(route, pool)

    def _add_route(self, route: Route, pool: str) -> ListenerSettings:
        routed = self._copy()
        routed.route = route.name
        routed.staged = None if route.is_plain else route
        routed.route_block = route.block
        routed.series = route.series
        routed.pages = self.pages | dict(route.config.error_pages)
        target = route.targets.get(pool)
        if target is not None:
            own = target.algorithm
            view = None if own is None else view_by(target.pool, own[0], own[1], self.worker.rand)
            routed._view = view
            seen = target.pool if view is None else view.held
            routed._use(seen, target.timeouts, target.cookie, target.retrying, target.buffering)
        self._routed[route, pool] = routed
        if pool == route.config.pool:
            self.routed[route] = routed
        return routed

    def in_region(self, route: Route, pool: str, region: str) -> ListenerSettings:
        """As for_route(), for a request from this region."""
        choice = route.regions
        if choice is None:
            return self.for_route(route, pool)
        region = choice.name(region)
        known = self._regional.get((route, pool, region))
        if known is not None:
            return known
        routed = self.for_route(route, pool)
        target = route.targets.get(pool)
        view = None if target is None else choice.view(target.pool, region, target.algorithm, self.worker.rand)
        if target is not None and view is not None:
            routed = routed._copy()
            routed._view = view
            routed._use(view.held, target.timeouts, target.cookie, target.retrying, target.buffering)
        self._regional[route, pool, region] = routed
        return routed

    def _copy(self) -> ListenerSettings:
        made = ListenerSettings(self.worker, self.listener, self.port, self)
        for name in _COPIED:
            setattr(made, name, getattr(self, name))
        return made

    def own_lines(self, request_id: bytes, backend: Backend | None) -> bytes:
        """The field lines that Balance adds to a reply: X-Request-Id and X-Backend, where configured."""
        lines = b"X-Request-Id: " + request_id + b"\r\n" if self.sends_request_id and request_id else b""
        if self.sends_backend and backend is not None:
            lines += b"X-Backend: " + backend.name.encode("ascii", "backslashreplace") + b"\r\n"
        return lines
