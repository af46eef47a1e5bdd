"""The routes of an HTTP listener as the program uses them, with all that a route may have of its own; units are in the names.

Frozen, with every default applied. `model.HttpConfig` holds the routes of a listener.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from balance.config.common_model import HashKey, RateLimit, Retry, Timeouts
from balance.security.settings import RouteSecurity

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A condition on a header field, a query parameter or a cookie; of a repeated one the first value counts."""

    name: str  # header fields: lower case; the others case-sensitive
    operator: str = "equals"  # equals, prefix, regex (searched), present, absent
    value: str = ""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Which requests a route is for. A condition that is not given holds for all."""

    host: str = ""  # lower case, no port, no final dot; `*.example.org` for any depth below
    path_operator: str = ""  # exact, prefix (on segment borders), regex (searched); "" for any path
    path: str = ""
    methods: tuple[str, ...] = ()  # GET includes HEAD
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    cookies: tuple[ValueMatch, ...] = ()
    priority: int = 0  # higher is tried earlier


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """A header field that is added (beside others of its name), set (instead of them) or removed."""

    action: str  # add, set, remove
    name: str
    value: str = ""  # may have {client_ip} {scheme} {host} {request_id} {backend} {region}


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A regular expression for the path, and what replaces its first match; `$1` is a group."""

    regex: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Transform:
    """What is changed in requests on their way to a backend, and in replies on their way back."""

    request_headers: tuple[HeaderChange, ...] = ()
    response_headers: tuple[HeaderChange, ...] = ()
    strip_prefix: str = ""
    add_prefix: str = ""
    rewrite: tuple[Rewrite, ...] = ()  # in order, the first that matches
    map_back: bool = False  # Location, and Path and Domain of cookies, follow a stripped or added prefix


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect instead of a backend's reply. `to` is a URL or a path; else the request's own with the parts given."""

    to: str = ""
    status: int = 308  # 301, 302, 303, 307, 308
    scheme: str = ""
    host: str = ""
    path: str = ""
    keep_query: bool = True
    port: int = 0  # of the request's own host there; 0: the scheme's

    @property
    def is_upgrade(self) -> bool:
        """Whether it leads to the same over TLS, and nowhere else."""
        return self.scheme == "https" and not (self.to or self.host or self.path)


@dataclass(frozen=True, slots=True)
class FixedResponse:
    """A reply of our own instead of a backend's."""

    status: int = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Compression:
    """Which replies are compressed."""

    enabled: bool = False
    algorithms: tuple[str, ...] = ("zstd", "br", "gzip")  # by preference, where a client likes several alike
    types: tuple[str, ...] = (
        "text/*",
        "application/json",
        "application/javascript",
        "application/xml",
        "application/*+json",
        "application/*+xml",
        "image/svg+xml",
        "application/wasm",
    )
    min_size_bytes: int = 1024
    level: int = 0  # 0: the algorithm's own default


@dataclass(frozen=True, slots=True)
class Buffering:
    """Bodies that are taken whole. Sizes in bytes; 0 streams. `total` is for all bodies of one worker."""

    request_bytes: int = 0
    response_bytes: int = 0
    total_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WeightedPool:
    pool: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Canary:
    """A part of the users that goes to another pool; the same user always to the same side."""

    pool: str
    percent: float = 0.0
    header: ValueMatch | None = None  # who sends it goes to the canary whatever the percent
    cookie: ValueMatch | None = None  # likewise
    sticky: bool = True  # a cookie keeps users without a key of their own on their side
    key: str = ""  # what is hashed: cookie:NAME, header:NAME, client-ip; "": the sticky cookie
    salt: str = ""


@dataclass(frozen=True, slots=True)
class BlueGreen:
    blue: str
    green: str
    active: str = "blue"  # blue, green: until a switch at run time
    header: str = ""  # a field whose value (blue, green) picks a side for this request; lower case


@dataclass(frozen=True, slots=True)
class Mirror:
    pool: str
    percent: float = 100.0
    unsafe_methods: bool = False  # also POST and others that may change something


@dataclass(frozen=True, slots=True)
class Fault:
    """Faults that are injected to try clients out. `until_s` is when it ends: seconds since the epoch, or after the load."""

    abort_percent: float = 0.0
    abort_status: int = 503
    delay_percent: float = 0.0
    delay_s: float = 0.0
    header: ValueMatch | None = None  # only requests that have it, from trusted proxies
    until_s: float = 0.0  # 0: not given, which the schema refuses
    is_until_relative: bool = False
    ends_s: float = 0.0  # since the epoch, where `until_s` is relative: set when it is served first, see config.fault_ends


@dataclass(frozen=True, slots=True)
class Regions:
    """How a client's region is found, and where its requests go when its own region cannot take them."""

    header: str = ""  # lower case; believed from trusted proxies only
    cidrs: tuple[tuple[str, tuple[IpNetwork, ...]], ...] = ()
    geoip_db: str = ""
    fallback: tuple[tuple[str, tuple[str, ...]], ...] = ()  # by region ("*": any other), the next ones in order
    geoip_stamp: tuple[int, ...] = ()  # of the database's file: a reload takes in another one under the same name


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a rule: a test of a subject, or a combination of others."""

    operator: str  # equals, in, contains, prefix, suffix, regex, cidr, exists; all, any, not
    subject: str = ""  # path, host, method, scheme, client_ip, region, header, cookie, query
    name: str = ""  # of the header (lower case), cookie or query parameter
    value: str | bool | tuple[str, ...] = ""  # `in` and `cidr`: several
    conditions: tuple[Condition, ...] = ()  # of all, any, not


@dataclass(frozen=True, slots=True)
class Rule:
    when: Condition
    action: str  # allow, deny, redirect, route
    priority: int = 0
    name: str = ""  # default: rules[N]
    pool: str = ""  # route
    redirect: Redirect | None = None
    status: int = 403  # deny
    retry_after_s: float = 0.0  # deny; 0: not said


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    canary: Canary | None = None
    blue_green: BlueGreen | None = None
    mirror: Mirror | None = None
    fault: Fault | None = None
    regions: Regions | None = None
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How a route uses one of the pools that it leads to: the route's own settings, laid over the pool's and the listener's."""

    pool: str
    timeouts: Timeouts
    retry: Retry
    buffering: Buffering = field(default_factory=Buffering)


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """One route. Of pool, split, redirect and respond, one says what becomes of its requests."""

    name: str
    match: RouteMatch = field(default_factory=RouteMatch)
    pool: str = ""  # "" with split, redirect or respond, and a policy that chooses
    split: tuple[WeightedPool, ...] = ()
    redirect: Redirect | None = None
    respond: FixedResponse | None = None
    transform: Transform = field(default_factory=Transform)
    policy: TrafficPolicy = field(default_factory=TrafficPolicy)
    compression: Compression = field(default_factory=Compression)
    security: RouteSecurity = field(default_factory=RouteSecurity)
    buffering: Buffering = field(default_factory=Buffering)
    error_pages: tuple[tuple[int, str], ...] = ()  # (status, the page's text)
    host: str = "preserve"  # preserve, backend, or the name that backends get as Host
    body_bytes: int = 0  # limits.body; 0 is no limit
    rate_limit: RateLimit = field(default_factory=RateLimit)
    timeouts: Timeouts | None = None  # effective, towards the first of its pools; None: it leads to none
    retry: Retry | None = None  # likewise; None: the pool's
    algorithm: str = ""  # "": the pool's
    hash_key: HashKey | None = None  # None: the pool's
    uses: tuple[PoolUse, ...] = ()  # every pool that its requests may go to, the one it names first; derived from all the above
