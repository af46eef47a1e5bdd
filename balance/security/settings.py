"""What `security` of a listener or route says about requests, as the program uses it; units are in the names.

Frozen, with every default applied. RouteConfig and ListenerConfig hold it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from balance.security.key_set import JwksSource


@dataclass(frozen=True, slots=True)
class SecurityHeaders:
    """Fields of replies that tell browsers what to refuse. "" and 0 leave a field out."""

    enabled: bool = False
    hsts_max_age_s: float = 0.0
    hsts_subdomains: bool = False
    hsts_preload: bool = False
    nosniff: bool = True
    frame_options: str = "sameorigin"  # sameorigin, deny, off
    referrer_policy: str = "strict-origin-when-cross-origin"
    content_security_policy: str = ""
    permissions_policy: str = ""
    cross_origin_opener_policy: str = ""
    cross_origin_resource_policy: str = ""
    cross_origin_embedder_policy: str = ""
    replace: bool = True  # a backend's own field of the same name
    remove: tuple[str, ...] = ()  # fields of backends that tell too much


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may read replies."""

    enabled: bool = False
    allow_origins: tuple[str, ...] = ()  # https://app.example, https://*.example, *
    allow_origin_regex: tuple[str, ...] = ()  # of whole origins
    allow_methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    allow_headers: tuple[str, ...] = ()  # `*`: any
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age_s: float = 600.0


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """Who may ask, by user and password."""

    enabled: bool = False
    users: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (user, hash)
    htpasswd_file: str = ""
    htpasswd: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # what that file has
    realm: str = "balance"
    user_header: str = ""  # gets the user's name on its way to the backend
    forward: bool = True  # the Authorization field, to the backend
    remember_s: float = 300.0  # what was right


@dataclass(frozen=True, slots=True)
class Jwt:
    """Who may ask, by token."""

    enabled: bool = False
    algorithms: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)  # for HS*
    pem_files: tuple[tuple[str, str], ...] = ()  # (name, text), public keys
    jwks_file: tuple[tuple[str, str], ...] = ()  # (name, text) of the one, or none
    jwks_url: str = field(default="", repr=False)
    jwks_ca_file: tuple[tuple[str, str], ...] = ()  # likewise; (): the system's
    jwks_refresh_s: float = 600.0  # how old the set may become
    jwks_cooldown_s: float = 30.0  # between fetches that tokens with unknown keys ask for
    jwks_timeout_s: float = 5.0  # of a fetch
    issuer: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    leeway_s: float = 30.0
    required_claims: tuple[str, ...] = ("exp",)
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (claim, one of which it must have)
    claims_to_headers: tuple[tuple[str, str], ...] = ()
    source: str = "authorization"  # authorization, header:NAME, cookie:NAME
    forward: bool = True  # the field that the token is in, to the backend
    realm: str = "balance"
    max_size_bytes: int = 8192

    @property
    def jwks_source(self) -> JwksSource | None:
        """Where keys come from by URL."""
        if not (self.enabled and self.jwks_url):
            return None
        ca = "".join(text for _, text in self.jwks_ca_file)
        return JwksSource(self.jwks_url, ca, self.jwks_refresh_s, self.jwks_cooldown_s, self.jwks_timeout_s)


@dataclass(frozen=True, slots=True)
class ForwardAuth:
    """Who may ask, by what an authorizer says of each request."""

    enabled: bool = False
    pool: str = ""  # the authorizer's
    path: str = "/"  # that it is asked for, with a query if need be
    host: str = "backend"  # the Host that it gets: backend, which is its own address, preserve, or a name
    timeout_s: float = 5.0
    on_failure: str = "deny"  # deny, allow
    request_headers: tuple[str, ...] = ()  # the client's fields that it gets; (): all
    response_headers: tuple[str, ...] = ()  # fields of a good reply that the backend gets
    client_headers: tuple[str, ...] = ()  # likewise the client

    @property
    def asked(self) -> str:
        """The pool that is asked about requests; "" for none."""
        return self.pool if self.enabled else ""


@dataclass(frozen=True, slots=True)
class RouteSecurity:
    headers: SecurityHeaders = field(default_factory=SecurityHeaders)
    cors: Cors = field(default_factory=Cors)
    basic_auth: BasicAuth = field(default_factory=BasicAuth)
    jwt: Jwt = field(default_factory=Jwt)
    forward_auth: ForwardAuth = field(default_factory=ForwardAuth)
