"""What stages are built with besides the configuration of their route: the listener around it and the live state they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig
from balance.model import Counted
from balance.rate_limiting.bucket_table import BucketTable
from balance.rate_limiting.moved_keys import MovedKeys
from balance.security.key_set import JwksSource, KeySet, KeySets


class Moment(NamedTuple):
    """One moment on two clocks, in seconds."""

    epoch_s: float
    monotonic_s: float


NO_MOMENT: Final = Moment(0.0, 0.0)


Count = Callable[[Counted, int], None]


def count_nothing(what: Counted, number: int) -> None:
    """For stages whose counts nobody wants."""


def _stopped() -> float:
    return 0.0


def _uncounted(route: str) -> Callable[[bool], None]:
    return lambda is_refused: None


@dataclass(frozen=True, slots=True)
class StageEnvironment:
    """One for each listener and configuration."""

    listener: str
    http: HttpConfig
    routes: tuple[RouteConfig, ...]  # of the listener, in the file's order
    rand: Callable[[], float]  # a number in [0, 1)
    made: Moment = NO_MOMENT
    regions: frozenset[str] = frozenset()  # those of all backends
    clock: Callable[[], float] = _stopped  # seconds, monotonic: the moment itself, where a request's beginning won't do
    buckets: Callable[[], BucketTable] = BucketTable.of_one_worker  # the table of all rate limits
    moved: MovedKeys | None = None  # for limits that several machines share; None where there is no store for them
    key_set: Callable[[JwksSource], KeySet] = field(default_factory=lambda: KeySets.of_nobody().get)  # keys by URL
    limited: Callable[[str], Callable[[bool], None]] = _uncounted  # counts requests beyond a limit of that route
    count: Count = count_nothing  # what a stage counts of its own
    shared: dict[str, object] = field(default_factory=dict, compare=False)  # what stages of several routes have in common
