"""The active side of a route's blue-green policy, switched at run time and laid over the file.

A switch stays in effect until the file says something new in the route's `blue_green`; that section, as it was, is its basis. A
route is found by where it is written: in the list at the top, which may serve several listeners, or in a listener's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from balance.config.reading.document import Document, Path

SIMPLE_FORM = "main"  # the listener of a file without `listeners`
AT_TOP = ""  # the listener of routes that are in the list at the top


@dataclass(frozen=True, slots=True)
class RouteSwitch:
    """One switch. For a new one (without `basis`) `listener` is one that has the route, or "" where only one list has it."""

    listener: str
    route: str
    active: str  # blue, green
    basis: str | None = None  # the file's blue_green section as canonical JSON

    def __str__(self) -> str:
        return f"the switch of route {self.name} to {self.active}"

    @property
    def name(self) -> str:
        """The route, with its listener if the list is that listener's own."""
        return f"{self.listener}/{self.route}" if self.listener else self.route


def apply_switches(
    document: Document, switches: Sequence[RouteSwitch], origin: str
) -> tuple[list[RouteSwitch], list[str], list[str]]:
    """Apply the switches to a document before it is decoded.

    Returns those in effect, one per route and with their basis; a message for each dropped one; and why new ones are refused.
    """
    latest: dict[Path, RouteSwitch] = {}
    dropped: list[str] = []
    refused: list[str] = []
    for switch in switches:
        found = _find(document, switch)
        if isinstance(found, str):
            (refused if switch.basis is None else dropped).append(
                found if switch.basis is None else f"{switch} is dropped: {found}"
            )
            continue
        listener, path, section = found
        basis = _json(section)
        if switch.basis not in (None, basis):
            dropped.append(f"{switch} is dropped: the file says something new about it")
            continue
        latest[path] = replace(switch, listener=listener, basis=basis)
    kept = {path: switch for path, switch in latest.items() if switch.active != document.at(path).get("active", "blue")}
    document.put_all({(*path, "active"): switch.active for path, switch in kept.items()}, origin)
    return list(kept.values()), dropped, refused


def _find(document: Document, switch: RouteSwitch) -> tuple[str, Path, dict[str, Any]] | str:
    """The listener ("" for the list at the top), path and content of the section that is meant, or why there is none."""
    found = {listener: path for listener, path in _routes(document) if _name(document.at(path), path) == switch.route}
    listener, is_new = switch.listener, switch.basis is None
    if is_new and not listener and len(found) > 1:
        return (
            f"several listeners have a route {switch.route!r}; say which: {', '.join(each or 'all others' for each in found)}"
        )
    if is_new and listener not in found:
        if not listener and found:
            (listener,) = found
        elif listener in (_listeners(document) or (SIMPLE_FORM,)):  # it takes the list at the top
            listener = AT_TOP
    if listener not in found:
        return f"there is no route {switch.name!r}"
    path = (*found[listener], "policy", "blue_green")
    section = document.at(path) if document.has(path) else None
    if not isinstance(section, dict):
        return f"route {switch.route!r} has no policy blue_green"
    return listener, path, section


def _routes(document: Document) -> Iterator[tuple[str, Path]]:
    """Every route's listener and path."""
    for listener, place in {AT_TOP: (), **_listeners(document)}.items():
        path: Path = (*place, "http", "routes")
        listed = document.at(path) if document.has(path) else []
        for index in range(len(listed) if isinstance(listed, list) else 0):
            yield listener, (*path, index)


def _listeners(document: Document) -> dict[str, Path]:
    """Where each listener is, by name."""
    listed = document.data.get("listeners")
    if not isinstance(listed, list):
        return {}
    entries = enumerate(listed)
    return {
        str(entry.get("name", f"listener-{index + 1}")): ("listeners", index)
        for index, entry in entries
        if isinstance(entry, dict)
    }


def _name(entry: object, path: Path) -> str:
    index = path[-1]
    assert isinstance(index, int)
    return str(entry.get("name", f"route-{index + 1}")) if isinstance(entry, dict) else ""


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
