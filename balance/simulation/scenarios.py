"""Scenarios for the simulation: servers, their faults, and the traffic. SCENARIOS has one function per scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

FLEET = 10
RATE_PER_S = 1200.0  # a third of the capacity of ten servers with eight slots and 20 ms
ALWAYS_S = float("inf")


@dataclass(frozen=True, slots=True)
class Fault:
    """A server's behaviour during a time range."""

    from_s: float = 0.0
    to_s: float = ALWAYS_S
    slowness: float = 1.0  # factor on the service time
    fails_in_s: float | None = None  # answers 503 after this time
    is_ready: bool = True  # the result of health checks


@dataclass(frozen=True, slots=True)
class Server:
    """A server with `slots` concurrent requests and an unlimited queue. Service times are log-normal."""

    name: str
    weight: int = 1
    mean_s: float = 0.02
    sigma: float = 0.5  # of the logarithm: p99 is about three times the mean
    slots: int = 8
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Poisson arrivals at several balancers that exchange their active requests periodically."""

    servers: tuple[Server, ...]
    rate_per_s: float = RATE_PER_S
    duration_s: float = 30.0
    warm_up_s: float = 0.0  # simulated but not reported
    balancers: int = 1
    sync_interval_s: float = 0.2
    keys: int = 0  # number of keys for hashing algorithms; 0: requests without a key
    skew: float = 0.0  # the Zipf exponent: 0 is uniform, 1.1 is a few hot keys


def fleet(count: int = FLEET) -> tuple[Server, ...]:
    """Identical servers."""
    return tuple(Server(f"server-{number}") for number in range(1, count + 1))


def with_faults(*spells: Fault, count: int = FLEET) -> tuple[Server, ...]:
    """A fleet whose first server has faults."""
    first, *others = fleet(count)
    return (replace(first, faults=spells), *others)


def healthy() -> Scenario:
    """No faults."""
    return Scenario(fleet(), warm_up_s=2.0)


def one_slow(slowness: float = 10.0) -> Scenario:
    """One server is ten times slower, and passes its health checks."""
    return Scenario(with_faults(Fault(slowness=slowness)), warm_up_s=2.0)


def one_failing(fails_in_s: float = 0.001) -> Scenario:
    """One server answers 503 at once, so that it has low latency and few requests in flight."""
    return Scenario(with_faults(Fault(fails_in_s=fails_in_s)))


def one_falls_ill(fails_in_s: float = 0.001) -> Scenario:
    """As one_failing, after ten seconds without a fault."""
    return Scenario(with_faults(Fault(from_s=10.0, fails_in_s=fails_in_s)), warm_up_s=10.0)


def slow_then_well(slowness: float = 10.0) -> Scenario:
    """One server is slow for the first 20 seconds."""
    return Scenario(with_faults(Fault(to_s=20.0, slowness=slowness)), duration_s=60.0)


def failing_then_well(fails_in_s: float = 0.001) -> Scenario:
    """One server fails for the first 20 seconds."""
    return Scenario(with_faults(Fault(to_s=20.0, fails_in_s=fails_in_s)), duration_s=60.0)


def flapping(period_s: float = 1.0) -> Scenario:
    """One server is not ready in every second period."""
    spells = [Fault(from_s=period_s * turn, to_s=period_s * (turn + 1), is_ready=False) for turn in range(0, 30, 2)]
    return Scenario(with_faults(*spells), keys=1000)


def hot_keys() -> Scenario:
    """Most requests have one of a few keys."""
    return Scenario(fleet(), keys=10_000, skew=1.1, warm_up_s=2.0)


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "healthy": healthy,
    "one-slow": one_slow,
    "one-failing": one_failing,
    "one-falls-ill": one_falls_ill,
    "slow-then-well": slow_then_well,
    "failing-then-well": failing_then_well,
    "flapping": flapping,
    "hot-keys": hot_keys,
}
