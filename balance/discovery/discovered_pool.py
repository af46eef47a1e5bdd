"""What is laid over the configuration for one pool: sent from control to the supervisor, which keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from balance.discovery.endpoint import Endpoint

DISCOVERY: Final = "discovery"  # who found it; the autoscaler's own are "autoscaler"


@dataclass(frozen=True, slots=True)
class DiscoveredPool:
    """The last set of a pool. One pool may have one of each `by`."""

    pool: str
    endpoints: tuple[Endpoint, ...]  # in the order of their names, so that the same set is the same
    absent: tuple[str, ...] = ()  # names that vanished within the hold: what operators said of them is kept
    by: str = DISCOVERY
    returning: tuple[str, ...] = ()  # names that came back within the hold: their standing is what it was


def replaced(before: Sequence[DiscoveredPool], now: Sequence[DiscoveredPool]) -> tuple[DiscoveredPool, ...]:
    """The sets of before, with those of now in place of theirs."""
    found: Mapping[tuple[str, str], DiscoveredPool] = {(each.pool, each.by): each for each in (*before, *now)}
    return tuple(found.values())
