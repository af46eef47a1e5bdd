"""One backend in one worker: its load, whether it is ready, its gates and its parked connections."""

from __future__ import annotations

import math
from typing import Final, Protocol

from balance.config.model import BackendConfig
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.load import Load
from balance.runtime.health_gate import HealthGate
from balance.runtime.max_connections import Limited
from balance.tls.backend_context import UpstreamTls


class Parked(Protocol):
    """A connection to a backend that is parked until its next request."""

    parked_at: float  # seconds, monotonic

    def discard(self) -> None:
        """Close it now."""


class SharedConnections(Protocol):
    """The connections to a backend that speaks HTTP/2, which requests share."""

    def retire(self) -> None:
        """Use none of them for another request."""


class Gate(Protocol):
    """Lets only some requests through to a ready backend: slow start, a trial after an ejection or an open breaker."""

    def admit(self, now: float) -> int | None:
        """The trial that the request is, NO_TRIAL when it is none; None when it may not pass. `now`: seconds, monotonic."""


class IdleTime:
    """How long a connection to one backend may be parked, in seconds: configured, or learned (`auto`).

    `auto` starts below the 5 s of uvicorn and Node and follows the backend's `Keep-Alive: timeout=N`. When the backend closes a
    connection that was parked for less, the limit stays below that time for MEMORY_S; not longer, because the close may have
    been a restart.
    """

    __slots__ = ("_base", "_configured", "_learned", "_learned_until")

    AUTO_S: Final = 4.0
    MAX_S: Final = 60.0
    MEMORY_S: Final = 60.0
    TOO_SOON_S: Final = 0.01  # a close sooner than this after a reply is no idle timeout

    def __init__(self, configured_s: float | None) -> None:
        self._configured = configured_s
        self._base = self.AUTO_S
        self._learned = 0.0
        self._learned_until = 0.0

    @property
    def configured_s(self) -> float | None:
        """The configured limit; None is `auto`."""
        return self._configured

    def limit_s(self, now: float) -> float:
        """The longest time that a connection used at `now` may have been parked."""
        if self._configured is not None:
            return self._configured
        return min(self._base, self._learned) if now < self._learned_until else self._base

    def announced(self, timeout_s: float) -> None:
        """The backend sent `Keep-Alive: timeout=N`: the limit is N - 1 s, or N / 2 where that is more; at most MAX_S."""
        self._base = min(max(timeout_s - 1.0, timeout_s / 2), self.MAX_S)

    def closed_after(self, idle_s: float, now: float) -> None:
        """The backend closed a connection that had been parked for `idle_s`."""
        if idle_s >= self.TOO_SOON_S and idle_s < self.limit_s(now) * 1.25:
            self._learned = idle_s * 0.8
            self._learned_until = now + self.MEMORY_S


class IdleRaces:
    """Tells idle races from failures: a reused connection ended without a reply, and its close may have crossed the request.

    Such a race is not a failure of the backend, and it is rare: once in many requests as the backend closes an idle connection,
    or for many connections at once when it restarts. When it happens more often, the backend closes because of the requests.
    """

    __slots__ = ("_leases", "_since")

    SPAN_S: Final = 0.1  # races within this time are one event
    APART: Final = 20  # leases between two events

    def __init__(self) -> None:
        self._since = -math.inf
        self._leases = -self.APART  # the backend's leases at the last race

    def is_one(self, now: float, leases: int) -> bool:
        """Whether a connection that ended now counts as a race. `leases` is the number of the backend's leases so far."""
        is_apart = leases - self._leases >= self.APART
        self._leases = leases
        if is_apart:
            self._since = now
        return is_apart or now - self._since <= self.SPAN_S


class Backend(Limited):
    """A backend with its state; kept across snapshots as long as its pool, name and address are configured."""

    __slots__ = ("address", "gate", "health", "idle", "idle_time", "is_backup", "is_ready", "name", "open_count", "phase",
                 "pool_name", "protocol", "proxy_protocol", "races", "region", "shared", "slow_start", "state",
                 "tls")  # fmt: skip

    def __init__(
        self,
        config: BackendConfig,
        slot: int,
        idle_timeout_s: float | None = None,
        proxy_protocol: str = "",
        tls: UpstreamTls | None = None,
        pool_name: str = "",
    ) -> None:
        super().__init__(slot, Load(config.weight, identity=config.name.encode()), config.max_connections)
        self.name = config.name
        self.pool_name = pool_name  # for the log
        self.address = config.address
        self.is_backup = config.backup  # used when no backend that is not a backup is ready
        self.region = config.region
        self.tls = tls  # of its connections; None: they are plain
        self.proxy_protocol = proxy_protocol  # v1, v2: the header that its connections begin with; empty: none
        self.protocol = _shareable(config)
        self.shared: SharedConnections | None = None  # made at the first dial
        self.is_ready = True  # used at once, until the first probe says otherwise
        self.idle: list[Parked] = []  # newest last and taken from the end, so that the older ones time out
        self.idle_time = IdleTime(idle_timeout_s)
        self.races = IdleRaces()
        self.open_count = 0  # connections to it, parked or in use
        # PoolHealth decides `is_ready` from these.
        self.state = State.UNKNOWN
        self.phase = BreakerState.CLOSED  # of its breaker; HALF_OPEN as soon as the time of OPEN is over
        self.health: HealthGate | None = None
        self.gate: Gate | None = None
        self.slow_start: Gate | None = None

    def configure(
        self, config: BackendConfig, idle_timeout_s: float | None, proxy_protocol: str = "", tls: UpstreamTls | None = None
    ) -> None:
        """Apply changed settings. Leases, parked connections and learned values are kept."""
        self.load.weight = config.weight
        self.is_backup = config.backup
        self.region = config.region
        if self.limit != config.max_connections:
            self.limit = config.max_connections
        protocol = _shareable(config)
        if self.proxy_protocol != proxy_protocol or self.tls is not tls or self.protocol != protocol:
            # Connections that began otherwise serve no other request; those in use go into a list that nobody looks at.
            self.proxy_protocol = proxy_protocol
            self.tls = tls
            self.protocol = protocol
            if self.shared is not None:
                self.shared.retire()
                self.shared = None
            before, self.idle = self.idle, []
            for parked in tuple(before):
                parked.discard()
        if self.idle_time.configured_s != idle_timeout_s:
            self.idle_time = IdleTime(idle_timeout_s)

    def let_go(self) -> None:
        """Drop permits and gates, and with them all references to its pool: it is neither configured nor in use any more."""
        if self.permits is not None:
            self.permits.close()
        self.gate = self.slow_start = None

    def __repr__(self) -> str:
        return f"Backend({self.name} {self.address} {self.load})"


def _shareable(config: BackendConfig) -> str:
    """The protocol of connections that requests may share: h2, h2c or auto; empty for HTTP/1."""
    return "" if config.protocol == "http1" else config.protocol
