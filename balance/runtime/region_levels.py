"""The choice of a backend by region: the nearest level, and the next ones as far as its ready capacity falls short.

Capacity is weight. Each level has a policy of its own, of the pool's algorithm.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Final

from balance.balancing import NO_BACKEND, POLICIES, Needs, Policy
from balance.balancing.hashing import SPACE, key_hash
from balance.config.model import HashKey
from balance.config.route_model import Regions
from balance.holder import Holder
from balance.load import Load
from balance.routing.regions import ANY_OTHER, UNKNOWN, level_shares, levels_of, named_regions
from balance.runtime.backend import Backend
from balance.runtime.pool import Pool
from balance.runtime.pool_view import PoolView, view_of

_SEED: Final = 1  # of a key's hash: its level says nothing about its place among the backends of the level


class RegionLevels(Policy):
    """A policy over levels: it draws the level, and the level's policy picks."""

    __slots__ = ("_bounds", "_levels", "_of_level", "_places", "_policies")

    def __init__(self, level_of: Mapping[bytes, int], policies: Sequence[Policy], rand: Callable[[], float]) -> None:
        """`level_of` has the level of each backend that may be chosen, by its identity; `policies` are by level."""
        super().__init__(rand, policies[0].needs)
        self._of_level = level_of
        self._policies = policies
        self._levels: list[list[int]] = [[] for _ in policies]  # by level: the indices of its ready backends
        self._places: list[tuple[int, int]] = []  # by index: the level, and the index there
        self._bounds: list[float] = []  # the shares of the levels, added up

    def rebuild(self, loads: Sequence[Load], members: Sequence[Load] = ()) -> None:
        members = members or loads
        levels: list[list[int]] = [[] for _ in self._policies]
        places = []
        for index, load in enumerate(loads):
            level = self._of_level[load.identity]
            places.append((level, len(levels[level])))
            levels[level].append(index)
        configured: list[list[Load]] = [[] for _ in self._policies]
        for load in members:
            configured[self._of_level[load.identity]].append(load)
        ready = [[loads[index] for index in level] for level in levels]
        for policy, some, whole in zip(self._policies, ready, configured, strict=True):
            policy.rebuild(some, whole)
        shares = level_shares([_weight(some) for some in ready], [_weight(whole) for whole in configured])
        self._bounds = list(accumulate(shares))[:-1]
        self._levels, self._places = levels, places

    def pick(self, key: bytes, avoid: Collection[int], now: float) -> int:
        if avoid:
            return self._pick_again(key, avoid, now)
        level = 0
        if self._bounds and self._bounds[0] < 1.0:
            draw = key_hash(key, _SEED) / SPACE if key and self.needs & Needs.KEY else self._rand()
            level = bisect_right(self._bounds, draw)
            if not self._levels[level]:  # none is ready, or the last share came out too small by rounding
                return self._pick_again(key, (), now)
        index = self._policies[level].pick(key, (), now)
        return self._levels[level][index] if index != NO_BACKEND else NO_BACKEND

    def _pick_again(self, key: bytes, avoid: Collection[int], now: float) -> int:
        """Some backends were tried, or are full: another one of their level, else of the other levels, nearest first."""
        first = min((self._places[index][0] for index in avoid), default=0)
        for level in sorted(range(len(self._levels)), key=lambda level: (level != first, level)):
            if self._levels[level]:
                tried = {self._places[index][1] for index in avoid if self._places[index][0] == level}
                index = self._policies[level].pick(key, tried, now)
                if index != NO_BACKEND:
                    return self._levels[level][index]
        return NO_BACKEND


def _weight(loads: Sequence[Load]) -> float:
    return sum(load.weight for load in loads)


class RegionChoice:
    """How one route chooses among the backends of its pools by the region of a request."""

    __slots__ = ("_fallback", "_names")

    def __init__(self, config: Regions, names: Collection[str]) -> None:
        """`names` are the regions of all backends."""
        self._fallback = dict(config.fallback)
        self._names = frozenset(names) | named_regions(config) | {UNKNOWN}

    def name(self, region: str) -> str:
        """The region, or `*` for all those that nobody has named: a client can't make up a view of a pool for each request."""
        return region if region in self._names else ANY_OTHER

    def view(self, pool: Pool, region: str, own: tuple[str, HashKey] | None, rand: Callable[[], float]) -> Holder[Pool] | None:
        """The pool as requests of the region see it; None where none of its backends has a region.

        `own` are the algorithm and the key of the route, None for the pool's.
        """
        present = {backend.region for backend in pool.backends} - {""}
        if not present:
            return None
        algorithm, hash_key = own or (pool.algorithm, pool.hash_key)
        levels = levels_of(region, self._fallback, present)
        return view_of(pool, (algorithm, hash_key, levels), lambda pool: _view(pool, levels, algorithm, hash_key, rand))


def _view(
    pool: Pool, levels: Sequence[frozenset[str]], algorithm: str, hash_key: HashKey, rand: Callable[[], float]
) -> PoolView:
    of_region = {region: number for number, regions in enumerate(levels) for region in regions}
    members: list[Backend] = [backend for backend in pool.backends if backend.region in of_region]
    level_of = {backend.load.identity: of_region[backend.region] for backend in members}
    policy = POLICIES[algorithm]
    choice, backups = (RegionLevels(level_of, [policy(rand) for _ in levels], rand) for _ in range(2))
    return PoolView(pool, algorithm, choice, hash_key, backups=backups, members=members)
