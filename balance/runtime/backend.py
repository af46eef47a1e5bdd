"""One backend as a worker knows it while traffic flows: its numbers, whether it may be used, its parked connections."""

from __future__ import annotations

import math
from typing import Final, Protocol

from balance.config.model import BackendConfig
from balance.health.circuit_breaker import BreakerState
from balance.health.states import State
from balance.load import Load
from balance.runtime.health_gate import HealthGate
from balance.runtime.max_connections import Limited


class Parked(Protocol):
    """A connection to a backend that waits for its next request."""

    parked_at: float  # seconds, monotonic

    def discard(self) -> None:
        """Close it now."""


class Gate(Protocol):
    """What a request has to pass to get to a backend that is not as any other."""

    def admit(self, now: float) -> int | None:
        """What names the trial that the request is, NO_TRIAL for none; None turns it away."""


class IdleTime:
    """How long a connection to one backend may be parked, in seconds: configured, or `auto` and learned.

    `auto` starts below what uvicorn and Node keep (5 s), follows `Keep-Alive: timeout=N`, and after a connection was closed
    under it stays below that time for a while; then it forgets, for the close may have been a restart.
    """

    __slots__ = ("_base", "_configured", "_learned", "_learned_until")

    AUTO_S: Final = 4.0
    MAX_S: Final = 60.0
    MEMORY_S: Final = 60.0
    TOO_SOON_S: Final = 0.01  # a close so soon after a reply was no idle timeout

    def __init__(self, configured_s: float | None) -> None:
        self._configured = configured_s
        self._base = self.AUTO_S
        self._learned = 0.0
        self._learned_until = 0.0

    @property
    def configured_s(self) -> float | None:
        """What it was made with."""
        return self._configured

    def limit_s(self, now: float) -> float:
        """The longest time a connection may have been parked to be used at `now`."""
        if self._configured is not None:
            return self._configured
        return min(self._base, self._learned) if now < self._learned_until else self._base

    def announced(self, timeout_s: float) -> None:
        """The backend said `Keep-Alive: timeout=N`: stay a second below, or at half where N is small."""
        self._base = min(max(timeout_s - 1.0, timeout_s / 2), self.MAX_S)

    def closed_after(self, idle_s: float, now: float) -> None:
        """The backend closed a connection that had been parked for `idle_s`."""
        if idle_s >= self.TOO_SOON_S and idle_s < self.limit_s(now) * 1.25:
            self._learned = idle_s * 0.8
            self._learned_until = now + self.MEMORY_S


class IdleRaces:
    """Reused connections that ended without a reply, so soon that their close may have crossed the request.

    That is nobody's fault, and rare: a backend is met as it closes idle connections once in many requests, or with many of its
    connections at once when it restarts. One that is met so again and again closes because of what it is asked.
    """

    __slots__ = ("_leases", "_since")

    SPAN_S: Final = 0.1  # what happens within it is one event
    APART: Final = 20  # requests between two of them

    def __init__(self) -> None:
        self._since = -math.inf
        self._leases = -self.APART  # as many as there had been when it was met last

    def is_one(self, now: float, leases: int) -> bool:
        """Whether the one that was met now is still taken for such a race. `leases` counts the backend's uses so far."""
        is_apart = leases - self._leases >= self.APART
        self._leases = leases
        if is_apart:
            self._since = now
        return is_apart or now - self._since <= self.SPAN_S


class Backend(Limited):
    """Lives as long as its identity is configured, across snapshots."""

    __slots__ = ("address", "gate", "health", "idle", "idle_time", "is_backup", "is_ready", "name", "open_count", "phase",
                 "races", "slow_start", "state")  # fmt: skip

    def __init__(self, config: BackendConfig, slot: int, idle_timeout_s: float | None = None) -> None:
        super().__init__(slot, Load(config.weight, identity=config.name.encode()), config.max_connections)
        self.name = config.name
        self.address = config.address
        self.is_backup = config.backup  # used when no other is ready
        self.is_ready = True  # used at once; the first probe decides
        self.idle: list[Parked] = []  # newest last, and taken from the end: the older ones age out
        self.idle_time = IdleTime(idle_timeout_s)
        self.races = IdleRaces()
        self.open_count = 0  # connections to it, parked or in use
        # What a pool's health decides `is_ready` from, and nobody else uses.
        self.state = State.UNKNOWN
        self.phase = BreakerState.CLOSED  # its breaker's; HALF_OPEN as soon as the time of OPEN is over
        self.health: HealthGate | None = None
        self.gate: Gate | None = None
        self.slow_start: Gate | None = None

    def configure(self, config: BackendConfig, idle_timeout_s: float | None) -> None:
        """The same backend with other settings: what is under way and what was learned goes on."""
        self.load.weight = config.weight
        self.is_backup = config.backup
        if self.limit != config.max_connections:
            self.limit = config.max_connections
        if self.idle_time.configured_s != idle_timeout_s:
            self.idle_time = IdleTime(idle_timeout_s)

    def let_go(self) -> None:
        """It is not configured any more, and nothing of it is in use: it holds nothing, and leads to no pool that it was in."""
        if self.permits is not None:
            self.permits.close()
        self.gate = self.slow_start = None

    def __repr__(self) -> str:
        return f"Backend({self.name} {self.address} {self.load})"
