"""Regions: where a client is, and how the requests of a region are shared out over the regions that may take them.

A client whose region nobody knows is in the region `unknown`: a name like others, for rules and for `fallback`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from balance.config.route_model import Condition, Regions, Rule

UNKNOWN: Final = "unknown"
ANY_OTHER: Final = "*"  # in `fallback`: every region without an entry of its own
OVERPROVISIONING: Final = 1.4  # Envoy: a level takes all of its requests while 72 % of its capacity are ready
MAX_CACHED: Final = 4096  # addresses

_NAME: Final = re.compile(r"[^\s/\x00-\x1f\x7f]{1,100}")


class GeoLookup(Protocol):
    """A database of the regions of addresses."""

    @property
    def version(self) -> int:
        """Changes with the data."""

    def find(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[str, str]:
        """The codes of the country and the continent, each "" where it is not known."""


class RegionFinder:
    """Finds the regions of clients for one route: by the field of a trusted proxy, then by CIDR, then by the database."""

    __slots__ = ("_cached", "_geo", "_names", "_networks", "_version")

    def __init__(self, config: Regions, names: Iterable[str] = (), geo: GeoLookup | None = None) -> None:
        """`names` are regions that are used elsewhere, by backends and rules."""
        known = [*names, *named_regions(config)]
        self._names = {name.casefold(): name for name in reversed(known)}
        # By IP version: the length of a prefix, and the regions of its networks; the longest first.
        self._networks: dict[int, list[tuple[int, dict[int, str]]]] = {4: [], 6: []}
        self._geo = geo
        self._cached: dict[str, str] = {}  # by address
        self._version = -1
        self._add(config.cidrs)

    def _add(self, cidrs: Sequence[tuple[str, Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]]]) -> None:
        by_length: dict[tuple[int, int], dict[int, str]] = {}
        for region, networks in cidrs:
            for network in networks:
                shift = network.max_prefixlen - network.prefixlen
                first = int(network.network_address) >> shift
                by_length.setdefault((network.version, shift), {}).setdefault(first, region)
        for (version, shift), found in sorted(by_length.items()):
            self._networks[version].append((shift, found))

    def find(self, told: bytes | None, address: str) -> str:
        """The region of the client at `address`; `told` is the field's value, None where it is not to be believed."""
        if told:
            region = told.decode("latin-1").strip()
            if _NAME.fullmatch(region):
                return self._names.get(region.casefold(), region)
        cached = self._cached
        if self._geo is not None and self._geo.version != self._version:
            self._version = self._geo.version
            cached.clear()
        found = cached.get(address)
        if found is None:
            if len(cached) >= MAX_CACHED:
                cached.clear()
            found = cached[address] = self._look_up(address)
        return found

    def _look_up(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return UNKNOWN  # of a Unix socket, or one that a proxy does not tell
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number = int(address)
        for shift, networks in self._networks[address.version]:
            region = networks.get(number >> shift)
            if region is not None:
                return region
        if self._geo is None:
            return UNKNOWN
        country, continent = self._geo.find(address)
        for code in (country, continent):
            if code and code.casefold() in self._names:
                return self._names[code.casefold()]
        return country or continent or UNKNOWN


def named_regions(config: Regions) -> set[str]:
    """The regions that the configuration of a route names."""
    names = {region for region, _ in config.cidrs}
    for region, others in config.fallback:
        names |= {region, *others}
    return names - {ANY_OTHER}


def judged_regions(rules: Iterable[Rule]) -> set[str]:
    """The regions that rules compare with."""
    names: set[str] = set()
    for rule in rules:
        _add_judged(rule.when, names)
    return names


def _add_judged(condition: Condition, names: set[str]) -> None:
    for inner in condition.conditions:
        _add_judged(inner, names)
    if condition.subject == "region":
        value = condition.value
        names.update([value] if isinstance(value, str) else value if isinstance(value, tuple) else ())
    names.discard("")


def levels_of(region: str, fallback: Mapping[str, Sequence[str]], present: Iterable[str]) -> tuple[frozenset[str], ...]:
    """The regions that take the requests of `region`, nearest first: the next level takes what the one before can't.

    The first level has the backends without a region, too: they are of every region. `present` are the regions of the pool.
    Where `fallback` says nothing about the region, all others are one more level; an empty list keeps its requests at home.
    """
    nearest = frozenset((region, ""))
    seen = set(nearest)
    levels = [nearest]
    listed = fallback.get(region, fallback.get(ANY_OTHER))
    if listed is None:
        others = frozenset(present) - seen
        return (nearest, others) if others else (nearest,)
    for name in listed:
        if name not in seen:
            seen.add(name)
            levels.append(frozenset((name,)))
    return tuple(levels)


def level_shares(ready: Sequence[float], configured: Sequence[float]) -> list[float]:
    """The share of the requests that each level gets, of 1 in all, by its ready and its configured capacity.

    Envoy's priority load: the health of a level is 1.4 times the ready part of its capacity, at most 1. Each level takes
    its health of what the ones before leave. Where all together have less than 1, their healths are scaled up. A level without
    ready capacity gets exactly nothing.
    """
    healths = [
        min(1.0, OVERPROVISIONING * some / whole) if some > 0 and whole > 0 else 0.0
        for some, whole in zip(ready, configured, strict=True)
    ]
    total = min(1.0, sum(healths))
    if not total:
        return [0.0] * len(healths)
    shares = []
    left = 1.0
    for health in healths:
        share = min(left, health / total)
        shares.append(share)
        left -= share
    if left > 0:  # by rounding
        shares[healths.index(max(healths))] += left
    return shares
