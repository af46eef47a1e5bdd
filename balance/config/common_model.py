"""What pools, listeners and routes may each have of their own: timeouts, retries, the hash key. The nearest wins."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The timeouts of a listener; its pool's override them. 0 disables one. `read`, `write`, `idle`, `half_closed`, `tunnel`
    and `client_body` are inactivity timeouts: they never end an active session."""

    connect_s: float = 5.0
    read_s: float = 60.0  # nginx; many long polls last 30 s
    write_s: float = 30.0
    request_s: float = 0.0
    idle_s: float = 600.0  # nginx's proxy_timeout; a minute would close pooled database connections
    half_closed_s: float = 0.0
    tunnel_s: float = 3600.0
    client_header_s: float = 10.0
    client_body_s: float = 30.0
    keepalive_s: float = 75.0


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """The limit on retries: a `ratio` of the requests, but at least `min_per_second`."""

    ratio: float = 0.2
    min_per_second: int = 10


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed request is sent again. `on` has connect, reset, timeout and statuses; `jitter` None is full jitter."""

    enabled: bool = True
    max_attempts: int = 2  # the first one included; failed connects do not count
    backoff_base_s: float = 0.1
    backoff_max_s: float = 5.0
    multiplier: float = 2.0
    jitter: float | None = None
    on: tuple[str | int, ...] = ("connect", "reset")
    per_try_timeout_s: float = 0.0
    budget: RetryBudget = field(default_factory=RetryBudget)


@dataclass(frozen=True, slots=True)
class HashKey:
    """What of a request is hashed. `name` is that of the header field, cookie or query parameter; empty for other kinds."""

    kind: str = "source-ip"  # source-ip, header, cookie, path, query
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often a client may ask. `counted_for` is whose limit it is: "" for the one at the top, which all listeners share that
    have none of their own; else a listener, or listener/route.
    """

    enabled: bool = False
    type: str = "token-bucket"  # token-bucket, sliding-window
    key: tuple[str, ...] = ("client-ip",)  # client-ip, path, route, header:NAME, cookie:NAME, query:NAME, jwt:CLAIM; together
    requests_per_second: float = 100.0
    burst: int = 0  # 0: as many as in a second, at least one
    window_s: float = 60.0
    max_requests: int = 100
    report_only: bool = False
    headers: bool = True  # tell clients what is left
    scope: str = "local"  # local, redis: the workers of this machine, or all machines
    allowlist: tuple[str, ...] = ()  # networks of who has no limit
    counted_for: str = ""
