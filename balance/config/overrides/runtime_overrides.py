"""What operators change about backends at run time, laid over what the file says. Decides what a new file leaves of it.

The rule: a change holds until the file says something new about the same backend. Each change remembers as its basis what
the file said when it was made; where the file says otherwise now, the file wins.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from balance.config.overrides.value_format import hidden
from balance.config.reading.document import Document, Path
from balance.errors import Problem

ORIGIN = "admin API"  # what problems with these values call the place they came from
SIMPLE_POOL = "default"  # the one pool of a file that names none
NOTHING = ""  # the basis of a change about a backend that the file does not have
NEW_TEXT = "the file says something new about it"


class Verb(enum.StrEnum):
    """What is done to a backend."""

    ADD = "add"
    REMOVE = "remove"
    SET = "set"


@dataclass(frozen=True, slots=True)
class BackendChange:
    """One change. `pool` may be empty where there is one pool only; `values` is a JSON object of keys as a file has them."""

    verb: Verb
    pool: str
    name: str
    values: str = "{}"
    basis: str | None = None  # the file's entry as canonical JSON, NOTHING for none; None: the change is new

    def __str__(self) -> str:
        where = f"{self.pool}/{self.name}"
        match self.verb:
            case Verb.ADD:
                return f"backend {where}, added at run time"
            case Verb.REMOVE:
                return f"the removal of backend {where}"
            case Verb.SET:
                return f"the change of backend {where} ({self.said})"

    @property
    def said(self) -> str:
        """The values for people, without secrets."""
        return ", ".join(f"{key} {_json(hidden(key, value))}" for key, value in json.loads(self.values).items())


class _RefusedError(Exception):
    """This change can't be made; the text says why."""


def lay_over(document: Document, changes: Sequence[BackendChange]) -> tuple[list[BackendChange], list[str], list[Problem]]:
    """Write the changes into a document that was read and not judged yet.

    Returns those that hold, one for each backend and with its basis; a line for each that the file has ended; and what is
    wrong with those that are new.
    """
    kept: list[BackendChange] = []
    dropped: list[str] = []
    problems: list[Problem] = []
    pools: dict[str, _Pool] = {}
    for change in changes:
        try:
            name, path = _find_pool(document, change.pool)
        except _RefusedError as refusal:
            if change.basis is None:
                problems.append(Problem(ORIGIN, 0, 0, "", str(refusal)))
            else:
                dropped.append(f"{change} is dropped: {refusal}")
            continue
        pool = pools.setdefault(name, _Pool(document, name, path))
        change = replace(change, pool=name)
        if change.basis is not None and change.basis != pool.basis(change.name):
            dropped.append(f"{change} is dropped: {pool.why_ended(change)}")
            continue
        try:
            pool.take(change)
        except _RefusedError as refusal:
            problems.append(Problem(ORIGIN, 0, 0, "", str(refusal)))
    for pool in pools.values():
        kept += pool.write()
    return kept, dropped, problems


def _find_pool(document: Document, name: str) -> tuple[str, Path]:
    """The name of the pool that is meant, and the path of its list of backends."""
    pools = document.data.get("pools")
    names = [pool for pool in pools if isinstance(pools[pool], dict)] if isinstance(pools, dict) else []
    if not names and "backends" in document.data:
        names = [SIMPLE_POOL]
    if name and name not in names:
        raise _RefusedError(f"there is no pool {name!r}; there are {', '.join(names) or 'none'}")
    if not name and len(names) != 1:
        raise _RefusedError(f"say which pool is meant: {', '.join(names)}" if names else "there is no pool")
    name = name or names[0]
    return name, (("pools", name, "backends") if isinstance(pools, dict) else ("backends",))


@dataclass(slots=True)
class _Pool:
    """The backends of one pool: what the file says, and the one change there is to each."""

    document: Document
    name: str
    path: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)  # by name, as the file has them
    at: dict[str, int] = field(default_factory=dict)  # where in the list each stands
    changes: dict[str, BackendChange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, entry in enumerate(self._listed()):
            name = _name(entry, index)
            if name is not None and name not in self.entries:  # a name given twice is a problem of the file's own
                self.entries[name] = entry
                self.at[name] = index

    def _listed(self) -> list[Any]:
        found = self.document.at(self.path) if self.document.has(self.path) else []
        return found if isinstance(found, list) else []

    def basis(self, name: str) -> str:
        """What the file says about that backend now."""
        return _json(self.entries[name]) if name in self.entries else NOTHING

    def why_ended(self, change: BackendChange) -> str:
        """Why a change whose basis is gone does not hold."""
        if change.verb is Verb.ADD and change.basis == NOTHING:
            return "the file has a backend of that name now"
        return NEW_TEXT if change.name in self.entries else "the file has no such backend any more"

    def take(self, change: BackendChange) -> None:
        """Fold a change into what was changed before."""
        values, before = _values(change), self.changes.get(change.name)
        is_there = before.verb is not Verb.REMOVE if before else change.name in self.entries
        is_known = change.name in self.entries
        if change.verb is Verb.ADD:
            is_replaced = change.basis not in (None, NOTHING) and before is None
            if is_there and not is_replaced:
                raise _RefusedError(f"pool {self.name} has a backend {change.name!r} already")
        elif not is_there:
            known = ", ".join(list(self._names())[:20]) or "none"
            raise _RefusedError(f"pool {self.name} has no backend {change.name!r}; it has {known}")
        if before is not None and before.verb is not Verb.REMOVE and change.verb is Verb.SET:
            change = replace(change, verb=before.verb, values=_json(json.loads(before.values) | values))
        elif change.verb is Verb.REMOVE and not is_known:
            del self.changes[change.name]  # added and removed: as if never
            return
        self.changes[change.name] = replace(change, basis=self.basis(change.name))

    def _names(self) -> Iterator[str]:
        for name in {**self.entries, **self.changes}:
            if name not in self.changes or self.changes[name].verb is not Verb.REMOVE:
                yield name

    def write(self) -> list[BackendChange]:
        """Write what holds into the document. Returns it, without what says no more than the file."""
        holding = [change for change in self.changes.values() if not self._is_idle(change)]
        if not holding:
            return []
        removed = {self.at[change.name] for change in holding if change.verb is Verb.REMOVE}
        listed = self._listed()
        for index, entry in enumerate(listed):  # before their places change, and their names with them
            if isinstance(entry, dict) and "name" not in entry:
                entry["name"] = f"backend-{index + 1}"
        stay = [index for index in range(len(listed)) if index not in removed]
        moved = {old: new for new, old in enumerate(stay)}
        self.document.renumber(self.path, moved)
        now = [listed[index] for index in stay]
        puts: dict[Path, Any] = {}
        for change in holding:
            values = json.loads(change.values)
            if change.verb is Verb.ADD:
                index = moved[self.at[change.name]] if change.name in self.at else len(now)
                now[index : index + 1] = [{}]
                puts[(*self.path, index)] = {"name": change.name, **values}
            elif change.verb is Verb.SET:
                index = moved[self.at[change.name]]
                puts |= {(*self.path, index, key): value for key, value in values.items()}
        self.document.at(self.path[:-1])[self.path[-1]] = now
        if not now:  # that a pool has nobody is not the file's fault then
            puts[self.path] = now
        self.document.put_all(puts, ORIGIN)
        return holding

    def _is_idle(self, change: BackendChange) -> bool:
        if change.verb is Verb.REMOVE or change.name not in self.entries:
            return False
        entry = self.entries[change.name]
        if change.verb is Verb.ADD:  # removed before, and back as it was
            return _json(entry | {"name": change.name}) == _json({"name": change.name, **json.loads(change.values)})
        return all(key in entry and _json(entry[key]) == _json(value) for key, value in json.loads(change.values).items())


def _name(entry: object, index: int) -> str | None:
    """What the configuration will call that entry; None when that is not to be told."""
    if not isinstance(entry, dict):
        return None
    name = entry.get("name", f"backend-{index + 1}")
    return str(name) if isinstance(name, (str, int)) else None


def _values(change: BackendChange) -> dict[str, Any]:
    values = json.loads(change.values)
    if not isinstance(values, dict):
        raise _RefusedError(f"the values of backend {change.name!r} are no mapping")
    if "name" in values:
        raise _RefusedError(f"backend {change.name!r} can't be given another name; add one and remove the other")
    return values


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
