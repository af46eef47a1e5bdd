"""What the dashboard shows, as types: the dict of `Client.state()` and of each step of `Client.watch()`.

`..._at` are seconds since the epoch, `..._seconds` seconds, rates per second, `..._share` from 0 to 1. A key that is
NotRequired is absent where it does not apply or nothing is known; null is never there. Instances that are newer may have keys
more. They stay dicts, since a state a second is made of the last one by a patch.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Viewer(TypedDict):
    """Who asks, and what he may."""

    needs_token: bool
    signed_in: bool
    may_change: bool
    name: NotRequired[str]
    ends_at: NotRequired[float]


class InstanceState(TypedDict):
    """The instance as a whole."""

    id: str
    control_id: str
    name: NotRequired[str]
    host: str
    version: str
    python: str
    pid: int
    control_pid: int
    started_at: float
    control_started_at: float
    config_file: str
    generation: int
    stage: str  # starting, serving, draining
    healthy: bool
    ready: bool
    reasons: NotRequired[str]
    worker_restarts: int
    control_restarts: int


class WorkerState(TypedDict):
    """A worker; its key is its place."""

    pid: int
    state: str  # alive, stuck, leaving, gone
    generation: NotRequired[int]
    cpu_share: NotRequired[float]  # of one core
    memory_bytes: NotRequired[int]
    loop_lag_seconds: float
    connections: int
    requests: int  # under way


class ControlState(TypedDict):
    """The control process."""

    cpu_share: NotRequired[float]
    memory_bytes: NotRequired[int]
    streams: int
    sessions: int


class TotalsState(TypedDict):
    """All listeners together; rates, unless the name says otherwise."""

    requests: float
    errors_4xx: float
    errors_5xx: float
    statuses: dict[str, float]
    sessions: float  # of TCP
    connections: float
    p50_seconds: NotRequired[float]
    p90_seconds: NotRequired[float]
    p99_seconds: NotRequired[float]
    active_requests: int
    active_connections: int
    waiting: int
    bytes_in: float
    bytes_out: float
    retries: float
    requests_total: int
    sessions_total: int
    connections_total: int
    bytes_in_total: int
    bytes_out_total: int


class WhyState(TypedDict):
    """How often something ended with a word of `why`."""

    rate: float
    total: int


class ListenerState(TypedDict):
    """A listener."""

    order: int
    mode: str  # http, tcp
    listen: str
    tls: bool
    tls_ends_at: NotRequired[float]
    pool: NotRequired[str]
    routes: int
    rate: float  # requests, or TCP connections
    clients: int
    max_clients: NotRequired[int]
    refused: float
    refused_total: int


class SwitchState(TypedDict):
    """Blue and green of a route."""

    active: str
    blue: str
    green: str
    version: str


class RuleState(TypedDict):
    """A rule of a route's policy."""

    order: int
    when: str
    action: str
    hits_total: int
    last_hit_at: NotRequired[float]


class RouteState(TypedDict):
    """A route; its key is `listener/route`."""

    listener: str
    name: str
    order: int
    match: str
    action: str
    pools: str
    policies: str
    rate: float
    errors_5xx: float
    hits_total: int
    last_hit_at: NotRequired[float]
    rate_limited: NotRequired[float]
    rate_limited_total: NotRequired[int]
    mirrored_total: NotRequired[int]
    mirror_dropped_total: NotRequired[int]
    switch: NotRequired[SwitchState]
    rules: NotRequired[dict[str, RuleState]]


class SessionsState(TypedDict):
    """Sessions of a pool."""

    mode: str
    kept_in: NotRequired[str]
    began: float
    began_total: int


class RetryBudgetState(TypedDict):
    """What is left for retries."""

    ratio: float
    min_per_second: float
    left_share: float


class DiscoveryState(TypedDict):
    """Where a pool's backends come from, and how that goes."""

    kind: str
    state: str
    source: str
    why: NotRequired[str]


class PoolState(TypedDict):
    """A pool."""

    order: int
    algorithm: str
    backends: int
    ready: int
    panicking: bool
    waiting: int
    max_waiting: NotRequired[int]
    active: int
    rate: float
    errors_5xx: float
    requests_total: int
    p50_seconds: NotRequired[float]
    p99_seconds: NotRequired[float]
    health_check: NotRequired[str]
    sessions: NotRequired[SessionsState]
    retry_budget: NotRequired[RetryBudgetState]
    discovery: NotRequired[DiscoveryState]
    reason: NotRequired[str]  # where no backend is ready


class CheckState(TypedDict):
    """The last health check."""

    ok: bool
    text: str
    seconds: float
    at: NotRequired[float]


class BreakerState(TypedDict):
    """A circuit breaker."""

    state: str  # closed, open, half-open
    why: NotRequired[str]
    since_at: NotRequired[float]
    back_at: NotRequired[float]
    opened_total: int
    failures_total: int


class BackendState(TypedDict):
    """A backend; its key is `pool/name`."""

    order: int
    pool: str
    name: str
    address: str
    region: NotRequired[str]
    weight: int
    backup: bool
    max_connections: NotRequired[int]
    state: str
    out: bool  # it gets no usual share now
    reason: NotRequired[str]  # why it is out and when it may be back, a sentence
    back_at: NotRequired[float]
    since_at: NotRequired[float]
    why: NotRequired[str]
    check: NotRequired[CheckState]
    breaker: NotRequired[BreakerState]
    ejections_total: NotRequired[int]
    due_share: NotRequired[float]
    share: NotRequired[float]
    active: int
    waiting: NotRequired[int]
    drained: NotRequired[bool]
    idle_connections: int
    connections: int
    rate: float
    errors: float
    errors_by_why: NotRequired[dict[str, int]]
    retries_total: int
    p50_seconds: NotRequired[float]
    p99_seconds: NotRequired[float]
    mean_seconds: NotRequired[float]
    requests_total: int
    failures_total: int
    last_hit_at: NotRequired[float]
    version: str  # what an order may be made dependent on


class CertificateState(TypedDict):
    """A certificate."""

    owner: str
    file: str
    subject: NotRequired[str]
    names: NotRequired[str]
    ends_at: NotRequired[float]
    days_left: NotRequired[float]
    state: str  # ok, soon, ended


class RedisUseState(TypedDict):
    """One use of Redis."""

    state: str
    reason: NotRequired[str]
    url: str
    on_failure: str
    errors_total: int


class KeysState(TypedDict):
    """Keys for tokens, by their URL."""

    age_seconds: NotRequired[float]
    fetched_at: NotRequired[float]
    failure: NotRequired[str]
    fetches_total: int
    failures_total: int


class RateLimitState(TypedDict):
    """A rate limit."""

    what: str
    refused: float
    refused_total: int
    reported_total: int


class ReloadState(TypedDict):
    """A reload; its key is its number, the newest is the largest."""

    at: float
    result: str  # success, failure, unchanged
    origin: str
    generation: NotRequired[int]
    current: bool
    summary: NotRequired[str]
    changes: NotRequired[str]
    problems: NotRequired[str]


class EventState(TypedDict):
    """An event; its key is its number."""

    at: float
    kind: str
    text: str
    pool: NotRequired[str]
    name: NotRequired[str]


class State(TypedDict):
    """All of it."""

    schema: int
    seq: int
    at: float
    interval_seconds: float
    viewer: NotRequired[Viewer]
    instance: InstanceState
    workers: dict[str, WorkerState]
    control: ControlState
    totals: TotalsState
    whys: dict[str, WhyState]
    listeners: dict[str, ListenerState]
    routes: dict[str, RouteState]
    flows: dict[str, dict[str, float]]  # from `listener/route` to `pool/backend`
    pools: dict[str, PoolState]
    backends: dict[str, BackendState]
    certificates: dict[str, CertificateState]
    rate_limits: dict[str, RateLimitState]
    reloads: dict[str, ReloadState]
    events: dict[str, EventState]
    features: dict[str, bool]
    redis: NotRequired[dict[str, RedisUseState]]
    keys: NotRequired[dict[str, KeysState]]


class History(TypedDict):
    """Ten minutes of totals, as columns; None where nothing was known."""

    step_seconds: float
    at: list[float]
    requests: list[float | None]
    errors_4xx: list[float | None]
    errors_5xx: list[float | None]
    sessions: list[float | None]
    p50_seconds: list[float | None]
    p90_seconds: list[float | None]
    p99_seconds: list[float | None]
    active_requests: list[float | None]
    active_connections: list[float | None]
    bytes_in: list[float | None]
    bytes_out: list[float | None]
