"""What is simulated: servers, what befalls them, and the traffic. Each function of SCENARIOS is one kind of trouble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

FLEET = 10
RATE_PER_S = 1200.0  # a third of what ten servers of eight slots and 20 ms can do
ALWAYS_S = float("inf")


@dataclass(frozen=True, slots=True)
class Spell:
    """How a server behaves for a while."""

    from_s: float = 0.0
    to_s: float = ALWAYS_S
    slowness: float = 1.0  # times its usual service time
    fails_in_s: float | None = None  # it answers 503, and takes so long for it
    is_ready: bool = True  # what health checks say of it


@dataclass(frozen=True, slots=True)
class Server:
    """A machine with so many slots: who finds none free waits in line. Service times are log-normal."""

    name: str
    weight: int = 1
    mean_s: float = 0.02
    sigma: float = 0.5  # of the logarithm: one in a hundred takes about three times the mean
    slots: int = 8
    spells: tuple[Spell, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Poisson arrivals, each at one of several balancers that know of each other only what they look up now and then."""

    servers: tuple[Server, ...]
    rate_per_s: float = RATE_PER_S
    duration_s: float = 30.0
    warm_up_s: float = 0.0  # what happens before is simulated and not reported
    balancers: int = 1
    look_around_s: float = 0.2
    keys: int = 0  # clients, for algorithms that hash; 0: requests without a key
    skew: float = 0.0  # Zipf's exponent: 0 is all clients alike, 1.1 a few that ask for most


def fleet(count: int = FLEET) -> tuple[Server, ...]:
    """Servers like each other."""
    return tuple(Server(f"server-{number}") for number in range(1, count + 1))


def troubled(*spells: Spell, count: int = FLEET) -> tuple[Server, ...]:
    """The same, but the first has a bad time."""
    first, *others = fleet(count)
    return (replace(first, spells=spells), *others)


def healthy() -> Scenario:
    """Nothing is wrong."""
    return Scenario(fleet(), warm_up_s=2.0)


def one_slow(slowness: float = 10.0) -> Scenario:
    """One server takes ten times as long as the others, and says that it is well."""
    return Scenario(troubled(Spell(slowness=slowness)), warm_up_s=2.0)


def one_failing(fails_in_s: float = 0.001) -> Scenario:
    """One server answers 503 at once: it never has much in flight, and it is never slow."""
    return Scenario(troubled(Spell(fails_in_s=fails_in_s)))


def one_falls_ill(fails_in_s: float = 0.001) -> Scenario:
    """The same, after it was well for ten seconds."""
    return Scenario(troubled(Spell(from_s=10.0, fails_in_s=fails_in_s)), warm_up_s=10.0)


def slow_then_well(slowness: float = 10.0) -> Scenario:
    """One server is slow for the first 20 seconds, then as good as the others."""
    return Scenario(troubled(Spell(to_s=20.0, slowness=slowness)), duration_s=60.0)


def failing_then_well(fails_in_s: float = 0.001) -> Scenario:
    """One server fails for the first 20 seconds, then is as good as the others."""
    return Scenario(troubled(Spell(to_s=20.0, fails_in_s=fails_in_s)), duration_s=60.0)


def flapping(period_s: float = 1.0) -> Scenario:
    """Health checks take one server out for every second period."""
    spells = [Spell(from_s=period_s * turn, to_s=period_s * (turn + 1), is_ready=False) for turn in range(0, 30, 2)]
    return Scenario(troubled(*spells), keys=1000)


def hot_keys() -> Scenario:
    """A few clients ask for most of it."""
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
