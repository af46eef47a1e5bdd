"""What an instance says of itself, as dataclasses. `document` of each has the JSON as it came, newer keys included.

The names are those of the JSON. Times are `datetime`, with a zone; what is not known is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of `/health` or `/ready`."""

    status: str  # healthy, unhealthy, ready, not ready
    is_ok: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Build:
    """What an image says of how it was built; elsewhere nothing is known."""

    version: str | None = None
    git_commit: str | None = None
    build_time: str | None = None


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What runs it. `pgo` and `lto`: whether it was built with them, None where it does not tell."""

    implementation: str
    version: str
    pgo: bool | None = None
    lto: bool | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """What runs there."""

    name: str
    version: str
    python: str
    uptime: str
    build: Build | None = None
    compiled: bool | None = None  # None of an instance that is older than the field
    interpreter: Interpreter | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The last health check of a backend."""

    ok: bool
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """A backend's circuit breaker."""

    state: str  # closed, open, half_open
    opened: int = 0
    why: str | None = None
    since: datetime | None = None
    tried_again_in_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """How a backend stands, and why."""

    name: str
    pool: str
    address: str
    weight: int
    state: str  # healthy, unhealthy, ejected, returning, draining, maintenance, unknown, unchecked
    active: int  # requests and sessions under way there now
    requests: int  # tries and sessions so far, resends included
    document: dict[str, Any] = field(repr=False)
    backup: bool = False
    max_connections: int | None = None
    region: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    why: str | None = None
    since: datetime | None = None
    last_check: Check | None = None
    ejections: int = 0
    breaker: Breaker | None = None  # None: it has none
    drained: bool | None = None  # of one that is draining or in maintenance: whether nothing is under way there any more
    waiting: int = 0  # requests that wait for its pool
    connections: int = 0
    copies: int = 0
    failures: int = 0
    blamed: int = 0
    retries: int = 0
    mean_seconds: float | None = None
    version: str = ""  # for `if_version` of an order; known of one that was asked for by its name

    @property
    def full_name(self) -> str:
        """`pool/name`, which no other backend has."""
        return f"{self.pool}/{self.name}"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool and its backends."""

    name: str
    algorithm: str
    active: int
    requests: int  # that were answered
    sessions: int  # of TCP
    ready: int  # backends that take traffic
    backends: tuple[Backend, ...]
    document: dict[str, Any] = field(repr=False)
    health_check: str | None = None  # its kind
    waiting: int = 0
    panicking: bool = False
    discovery: dict[str, Any] | None = None  # of a pool that has a source: kind, state, last_failure, ...


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener."""

    name: str
    mode: str
    listen: tuple[str, ...]
    pool: str
    routes: int = 0
    connections: int = 0  # of clients, now
    max_clients: int | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process."""

    worker: int
    state: str  # alive, stuck, leaving, gone
    pid: int | None = None
    generation: int | None = None
    memory_bytes: int = 0
    connections: int = 0  # now
    requests: int = 0  # under way now
    loop_lag_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Counted:
    """How many now, and so far."""

    active: int
    total: int


@dataclass(frozen=True, slots=True)
class Status:
    """An instance at a glance."""

    status: str  # healthy, unhealthy
    stage: str  # starting, serving, draining
    ready: bool
    reasons: tuple[str, ...]
    version: str
    uptime: str
    uptime_seconds: float
    config: str
    generation: int
    connections: Counted
    requests: Counted
    sessions: Counted
    workers: tuple[Worker, ...]
    listeners: tuple[Listener, ...]
    pools: tuple[Pool, ...]
    supervisor: dict[str, Any]
    document: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a route."""

    name: str
    when: str
    action: str
    hits: int
    last_hit: datetime | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route: what it matches, where it leads, how often."""

    listener: str
    name: str
    order: int
    match: str
    action: str
    hits: int
    document: dict[str, Any] = field(repr=False)
    priority: int = 0
    pools: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    last_hit: datetime | None = None


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """How many backends a pool has and should have, and why."""

    pool: str
    state: str  # leading, following, dry_run, held, crash_loop, starting
    metric: str
    target: float
    current: int
    ready: int
    min: int
    max: int
    why: str
    driver: str
    document: dict[str, Any] = field(repr=False)
    value: float | None = None
    desired: int | None = None
    recommended: int | None = None
    action: str | None = None  # up, down, hold
    reason: str | None = None
    dry_run: bool = False
    decided_at: datetime | None = None
    last_change_seconds_ago: int | None = None


@dataclass(frozen=True, slots=True)
class SessionCount:
    """How many sessions began at a backend."""

    name: str
    began: int


@dataclass(frozen=True, slots=True)
class PoolSessions:
    """How a pool keeps sessions."""

    name: str
    mode: str
    kept_in: str  # cookie, memory, redis
    ttl: str
    backends: tuple[SessionCount, ...]
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Sessions:
    """How sessions are kept, and how many began where."""

    pools: tuple[PoolSessions, ...]
    document: dict[str, Any] = field(repr=False)
    redis: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One session in Redis."""

    id: str
    pools: dict[str, Any]  # the backend by pool
    expires_in_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """An address or network that is blocked at run time."""

    address: str
    ends_in_seconds: float | None = None  # None: it has no end
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListFile:
    """A file of an access list."""

    path: str
    ranges: int


@dataclass(frozen=True, slots=True)
class AccessLists:
    """The access lists of a listener."""

    name: str
    refused: int
    allowed_ranges: int
    blocked_ranges: int
    files: tuple[ListFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Blocklist:
    """Who is blocked at run time, and the access lists."""

    blocked: tuple[Blocked, ...]
    listeners: tuple[AccessLists, ...]
    document: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Generation:
    """A configuration that is or was served."""

    generation: int
    made_at: datetime
    origin: str
    current: bool
    source: str
    document: dict[str, Any] = field(repr=False)
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration with every default filled in and without secrets, and those that are remembered."""

    generation: int
    current: bool
    config: dict[str, Any]
    generations: tuple[Generation, ...]
    document: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `number` rises; `fields` has what its kind says besides."""

    number: int
    at: datetime
    kind: str
    text: str
    fields: dict[str, Any]
    document: dict[str, Any] = field(repr=False)  # the same as it came, with its number


@dataclass(frozen=True, slots=True)
class OrderResult:
    """What an order did, or would do with `dry_run`."""

    document: dict[str, Any] = field(repr=False)
    generation: int | None = None  # that is served now, where it is about the configuration
    summary: str = ""
    changes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()  # changes made at run time that the file has ended
    warnings: tuple[str, ...] = ()
    preview: str = ""  # of a dry run: what it would mean for the traffic


@dataclass(frozen=True, slots=True)
class BackendChange(OrderResult):
    """What a change of a backend did."""

    name: str = ""
    pool: str = ""
    state: str = ""

    @property
    def full_name(self) -> str:
        """`pool/name`."""
        return f"{self.pool}/{self.name}"
