"""Changes made through the admin API, applied on top of the configuration file: of backends, and of a route's active side.

A change stays in effect until the file's entry for the same backend changes. Each change stores that entry as its basis; on a
reload with another entry, the file wins and the change is dropped.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from balance.config.overrides.discovered import NO_NAMES, NOTHING_FOUND, FoundNames
from balance.config.overrides.route_switch import RouteSwitch, apply_switches
from balance.config.overrides.value_format import redact
from balance.config.reading.document import Document, Path
from balance.errors import Problem

ORIGIN = "admin API"  # stands for the file name in problems with these values
DEFAULT_POOL = "default"  # the name of the pool in the simple form
NOT_IN_FILE = ""  # the basis of a change to a backend that the file does not have
DISCOVERED = "discovery"  # the basis of a change to a backend that discovery finds
FILE_CHANGED = "the file says something new about it"


class Verb(enum.StrEnum):
    """The kinds of changes."""

    ADD = "add"
    REMOVE = "remove"
    SET = "set"


@dataclass(frozen=True, slots=True)
class BackendChange:
    """One change. `pool` may be "" when there is only one; `values` is a JSON object with a backend's keys as in a file."""

    verb: Verb
    pool: str
    name: str
    values: str = "{}"
    basis: str | None = None  # the file's entry as canonical JSON, or NOT_IN_FILE; None: a new change

    def __str__(self) -> str:
        where = f"{self.pool}/{self.name}"
        match self.verb:
            case Verb.ADD:
                return f"backend {where}, added at run time"
            case Verb.REMOVE:
                return f"the removal of backend {where}"
            case Verb.SET:
                return f"the change of backend {where} ({self.values_text})"

    @property
    def values_text(self) -> str:
        """The values as text, with secrets redacted."""
        return ", ".join(f"{key} {_json(redact(key, value))}" for key, value in json.loads(self.values).items())


RuntimeChange = BackendChange | RouteSwitch


class _ChangeRefusedError(Exception):
    """The change is impossible; the text says why."""


def apply_changes(
    document: Document, changes: Sequence[RuntimeChange], found: Mapping[str, FoundNames] = NOTHING_FOUND
) -> tuple[list[RuntimeChange], list[str], list[Problem]]:
    """Apply the changes to a document before it is decoded. `found` are the names that discovery has laid over it, by pool.

    Returns the changes in effect, merged to one per backend or route and with their basis; a message for each dropped change;
    and the problems of new changes.
    """
    switches = [change for change in changes if isinstance(change, RouteSwitch)]
    switched, dropped, refused = apply_switches(document, switches, ORIGIN)
    kept: list[RuntimeChange] = [*switched]
    problems = [Problem(ORIGIN, 0, 0, "", why) for why in refused]
    pools: dict[str, _Pool] = {}
    for change in changes:
        if isinstance(change, RouteSwitch):
            continue
        try:
            name, path = _find_pool(document, change.pool)
        except _ChangeRefusedError as refusal:
            if change.basis is None:
                problems.append(Problem(ORIGIN, 0, 0, "", str(refusal)))
            else:
                dropped.append(f"{change} is dropped: {refusal}")
            continue
        pool = pools.setdefault(name, _Pool(document, name, path, found.get(name, NO_NAMES)))
        change = pool.over_discovery(replace(change, pool=name))
        if pool.is_dormant(change):
            kept.append(change)
            continue
        if change.basis is not None and change.basis != pool.basis(change.name):
            dropped.append(f"{change} is dropped: {pool.drop_reason(change)}")
            continue
        try:
            pool.take(change)
        except _ChangeRefusedError as refusal:
            problems.append(Problem(ORIGIN, 0, 0, "", str(refusal)))
    for pool in pools.values():
        kept += pool.write()
    return kept, dropped, problems


def _find_pool(document: Document, name: str) -> tuple[str, Path]:
    """The name of the pool and the path of its list of backends."""
    pools = document.data.get("pools")
    names = [pool for pool in pools if isinstance(pools[pool], dict)] if isinstance(pools, dict) else []
    if not names and "backends" in document.data:
        names = [DEFAULT_POOL]
    if name and name not in names:
        for of_route, path in _routes_with_backends(document):
            if of_route == name:
                return name, path
        raise _ChangeRefusedError(f"there is no pool {name!r}; there are {', '.join(names) or 'none'}")
    if not name and len(names) != 1:
        raise _ChangeRefusedError(f"say which pool is meant: {', '.join(names)}" if names else "there is no pool")
    name = name or names[0]
    return name, (("pools", name, "backends") if isinstance(pools, dict) else ("backends",))


def _routes_with_backends(document: Document) -> Iterator[tuple[str, Path]]:
    """The pools of routes that have backends of their own, with the path of those."""
    homes: list[Path] = [("http", "routes")]
    listeners = document.data.get("listeners")
    homes += [("listeners", index, "http", "routes") for index in range(len(listeners) if isinstance(listeners, list) else 0)]
    for home in homes:
        routes = document.at(home) if document.has(home) else ()
        for index, route in enumerate(routes if isinstance(routes, list) else ()):
            if isinstance(route, dict) and "backends" in route:
                yield str(route.get("name", f"route-{index + 1}")), (*home, index, "backends")


@dataclass(slots=True)
class _Pool:
    """The backends of one pool: the file's entries, and the merged change to each."""

    document: Document
    name: str
    path: Path
    found: FoundNames
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name, as in the file
    at: dict[str, int] = field(default_factory=dict)  # index in the list, by name
    changes: dict[str, BackendChange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, entry in enumerate(self._listed()):
            name = _name(entry, index)
            if name is not None and name not in self.entries:  # duplicate names are reported elsewhere
                self.entries[name] = entry
                self.at[name] = index

    def _listed(self) -> list[Any]:
        found = self.document.at(self.path) if self.document.has(self.path) else []
        return found if isinstance(found, list) else []

    def basis(self, name: str) -> str:
        """The file's present entry for that backend. What discovery finds has one basis, whatever it says of it."""
        if name in self.found.present:
            return DISCOVERED
        return _json(self.entries[name]) if name in self.entries else NOT_IN_FILE

    def over_discovery(self, change: BackendChange) -> BackendChange:
        """A backend that an operator has added, and that discovery has found since, is as the operator has it."""
        is_added = change.verb is Verb.ADD and change.basis == NOT_IN_FILE
        return replace(change, basis=DISCOVERED) if is_added and change.name in self.found.present else change

    def is_dormant(self, change: BackendChange) -> bool:
        """Whether it is of a backend that discovery has lost a moment ago: it counts again when that one comes back."""
        return change.basis == DISCOVERED and change.name in self.found.absent and change.name not in self.entries

    def drop_reason(self, change: BackendChange) -> str:
        """Why a change is dropped when its basis is no longer the file's entry."""
        if change.verb is Verb.ADD and change.basis == NOT_IN_FILE:
            return "the file has a backend of that name now"
        if change.basis == DISCOVERED and change.name not in self.entries:
            return "discovery does not find it any more"
        return FILE_CHANGED if change.name in self.entries else "the file has no such backend any more"

    def take(self, change: BackendChange) -> None:
        """Merge a change with earlier ones to the same backend."""
        values, before = _values(change), self.changes.get(change.name)
        is_there = before.verb is not Verb.REMOVE if before else change.name in self.entries
        is_known = change.name in self.entries
        if change.verb is Verb.ADD:
            is_replaced = change.basis not in (None, NOT_IN_FILE) and before is None
            if is_there and not is_replaced:
                raise _ChangeRefusedError(f"pool {self.name} has a backend {change.name!r} already")
        elif not is_there:
            known = ", ".join(list(self._names())[:20]) or "none"
            raise _ChangeRefusedError(f"pool {self.name} has no backend {change.name!r}; it has {known}")
        if before is not None and before.verb is not Verb.REMOVE and change.verb is Verb.SET:
            change = replace(change, verb=before.verb, values=_json(json.loads(before.values) | values))
        elif change.verb is Verb.REMOVE and not is_known:
            del self.changes[change.name]  # added and removed again
            return
        self.changes[change.name] = replace(change, basis=self.basis(change.name))

    def _names(self) -> Iterator[str]:
        for name in {**self.entries, **self.changes}:
            if name not in self.changes or self.changes[name].verb is not Verb.REMOVE:
                yield name

    def write(self) -> list[BackendChange]:
        """Apply the changes to the document. Returns those that differ from the file."""
        effective = [change for change in self.changes.values() if not self._is_redundant(change)]
        if not effective:
            return []
        removed = {self.at[change.name] for change in effective if change.verb is Verb.REMOVE}
        listed = self._listed()
        for index, entry in enumerate(listed):  # default names depend on the index, which is about to change
            if isinstance(entry, dict) and "name" not in entry:
                entry["name"] = f"backend-{index + 1}"
        stay = [index for index in range(len(listed)) if index not in removed]
        moved = {old: new for new, old in enumerate(stay)}
        self.document.renumber(self.path, moved)
        now = [listed[index] for index in stay]
        puts: dict[Path, Any] = {}
        for change in effective:
            values = json.loads(change.values)
            if change.verb is Verb.ADD:
                index = moved[self.at[change.name]] if change.name in self.at else len(now)
                now[index : index + 1] = [{}]
                puts[(*self.path, index)] = {"name": change.name, **values}
            elif change.verb is Verb.SET:
                index = moved[self.at[change.name]]
                puts |= {(*self.path, index, key): value for key, value in values.items()}
        self.document.at(self.path[:-1])[self.path[-1]] = now
        if not now:  # the empty list is then reported as the admin API's, not the file's
            puts[self.path] = now
        self.document.put_all(puts, ORIGIN)
        return effective

    def _is_redundant(self, change: BackendChange) -> bool:
        if change.verb is Verb.REMOVE or change.name not in self.entries or change.name in self.found.present:
            return False
        entry = self.entries[change.name]
        if change.verb is Verb.ADD:  # removed, then added again
            return _json(entry | {"name": change.name}) == _json({"name": change.name, **json.loads(change.values)})
        return all(key in entry and _json(entry[key]) == _json(value) for key, value in json.loads(change.values).items())


def _name(entry: object, index: int) -> str | None:
    """The name of a backend's entry; None when it has no valid one."""
    if not isinstance(entry, dict):
        return None
    name = entry.get("name", f"backend-{index + 1}")
    return str(name) if isinstance(name, (str, int)) else None


def _values(change: BackendChange) -> dict[str, Any]:
    values = json.loads(change.values)
    if not isinstance(values, dict):
        raise _ChangeRefusedError(f"the values of backend {change.name!r} are no mapping")
    if "name" in values:
        raise _ChangeRefusedError(f"backend {change.name!r} can't be given another name; add one and remove the other")
    return values


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
