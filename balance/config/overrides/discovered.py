"""Lays what discovery has found over the file's document, beneath what operators change: operator > discovery > file.

A pool without discovery takes nothing, whatever was found for it before. An endpoint at the name or address of a backend of the
file is that backend; what the endpoint says of it wins, and the rest stays as the file has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from balance.config.reading.document import Document, Path
from balance.discovery.discovered_pool import DISCOVERY, DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.discovery.settings import SOURCE_KEYS
from balance.errors import Problem

ORIGIN: Final = "discovery"  # stands for the file name in problems with these values
DEFAULT_POOL: Final = "default"  # as in runtime_overrides
_INDEX: Final = re.compile(r"(.*)\.?backends\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class FoundNames:
    """The names of the backends that discovery has laid over one pool, and of those that it lost within the hold."""

    present: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


NO_NAMES: Final = FoundNames()
NOTHING_FOUND: Final[Mapping[str, FoundNames]] = {}


def mark_pools(document: Document) -> None:
    """Note which pools of the full form have no backends of their own, before anything is laid over them."""
    pools = document.data.get("pools")
    named = pools.items() if isinstance(pools, dict) else ()
    document.found_in = frozenset(name for name, pool in named if isinstance(pool, dict) and not pool.get("backends"))


def lay_discovered(document: Document, sets: Sequence[DiscoveredPool]) -> dict[str, FoundNames]:
    """Lay them over the document. Returns the names by pool."""
    for path in _pools_with_discovery(document).values():
        section = document.at(path[:-1])
        if section.get("backends") is None:
            section["backends"] = []  # there is a list, for operators as well
    found: dict[str, FoundNames] = {}
    for by in dict.fromkeys(each.by for each in sets):
        places = _pools_with_discovery(document) if by == DISCOVERY else _pools_with(document, by)
        for each in sets:
            if each.by == by and each.pool in places:
                names = _lay(document, places[each.pool], each.endpoints)
                before = found.get(each.pool, NO_NAMES)
                found[each.pool] = FoundNames(before.present | names, before.absent | set(each.absent))
    return found


def _pools_with(document: Document, key: str) -> dict[str, Path]:
    """The path of the backends of each pool that has that section, of its own or from the top."""
    pools = document.data.get("pools")
    if isinstance(pools, dict):
        is_at_top = key in document.data
        return {
            name: ("pools", name, "backends")
            for name, pool in pools.items()
            if isinstance(pool, dict) and (is_at_top or key in pool)
        }
    return {DEFAULT_POOL: ("backends",)} if key in document.data else {}


def _pools_with_discovery(document: Document) -> dict[str, Path]:
    """The path of the backends of each pool that has a source."""
    is_at_top = _has_source(document.data.get("discovery"))
    pools = document.data.get("pools")
    if not isinstance(pools, dict):
        return {DEFAULT_POOL: ("backends",)} if is_at_top else {}
    left = document.found_in or ()
    return {
        name: ("pools", name, "backends")
        for name, pool in pools.items()
        if isinstance(pool, dict) and (_has_source(pool.get("discovery")) or (is_at_top and name in left))
    }


def _has_source(section: object) -> bool:
    return isinstance(section, dict) and any(key in section for key in SOURCE_KEYS)


def _lay(document: Document, path: Path, endpoints: Sequence[Endpoint]) -> frozenset[str]:
    section = document.at(path[:-1])
    if section.get("backends") is None and endpoints:
        section["backends"] = []
    listed = section.get("backends")
    if not isinstance(listed, list):
        return frozenset()  # which is reported elsewhere
    names: dict[str, int] = {}
    addresses: dict[str, int] = {}
    for index, entry in enumerate(listed):
        if isinstance(entry, dict):
            entry.setdefault("name", f"backend-{index + 1}")
            names.setdefault(str(entry["name"]), index)
            addresses.setdefault(str(entry.get("address", "")), index)
    laid = []
    puts: dict[Path, Any] = {}
    for endpoint in endpoints:
        index = names.get(endpoint.key, addresses.get(endpoint.address, -1))
        values = _values(endpoint)
        if index >= 0:  # the file knows it
            laid.append(str(listed[index]["name"]))
            puts |= {(*path, index, key): value for key, value in values.items() if key not in ("name", "address")}
            continue
        laid.append(endpoint.key)
        puts[*path, len(listed)] = values
        listed.append({})
    document.put_all(puts, ORIGIN)
    return frozenset(laid)


def _values(endpoint: Endpoint) -> dict[str, Any]:
    values: dict[str, Any] = {"name": endpoint.key, "address": endpoint.address}
    if endpoint.draining or endpoint.weight != 1:
        values["weight"] = 0 if endpoint.draining else endpoint.weight
    if endpoint.backup:
        values["backup"] = True
    if endpoint.region:
        values["region"] = endpoint.region
    if endpoint.max_connections:
        values["max_connections"] = endpoint.max_connections
    if endpoint.metadata:
        values["metadata"] = dict(endpoint.metadata)
    return values


def without_wrong(
    document: Document, sets: Sequence[DiscoveredPool], problems: Sequence[Problem]
) -> tuple[tuple[DiscoveredPool, ...], list[str]]:
    """The sets without the endpoints that problems are with, when all problems are with such; and what to say of each. One
    wrong endpoint, our own listener say, must not keep a pool from the others.
    """
    wrong: dict[tuple[str, str], str] = {}
    for problem in problems:
        match = _INDEX.match(problem.path) if problem.file == ORIGIN else None
        if match is None:
            return (), []
        pool = match[1].rstrip(".").removeprefix("pools.").strip("'\"") or DEFAULT_POOL
        path: Path = ("backends", int(match[2])) if pool == DEFAULT_POOL and "pools" not in document.data else (
            "pools", pool, "backends", int(match[2])
        )  # fmt: skip
        entry = document.at(path) if document.has(path) else None
        if not isinstance(entry, dict):
            return (), []
        wrong[pool, str(entry.get("address"))] = problem.message
    left = tuple(
        replace(each, endpoints=tuple(end for end in each.endpoints if (each.pool, end.address) not in wrong)) for each in sets
    )
    return left, [f"pool {pool}: {address} is not taken from discovery: {why}" for (pool, address), why in wrong.items()]
