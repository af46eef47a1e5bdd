"""A document as it was written: plain data, and where each value and key stood. Knows no key by name.

A path is a tuple of keys and indices: ``("backends", 1, "weight")`` is shown as ``backends[1].weight``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from balance.errors import Problem

Path = tuple[str | int, ...]


def path_text(path: Iterable[str | int]) -> str:
    """The path as messages show it, always one line."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if step and step.isprintable() and len(step) <= 80 else repr(step[:80])
            text += f".{shown}" if text else shown
    return text


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a text, both from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """`values` and `keys` say where things stand; `origins` names what is not from the file: a variable, a flag.

    `broken` holds what was complained of already, so that one mistake is one problem.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)

    def has(self, path: Path) -> bool:
        """Whether something is written at that path."""
        here: Any = self.data
        for step in path:
            is_key = isinstance(here, dict) and step in here
            is_index = isinstance(here, list) and isinstance(step, int) and step < len(here)
            if not is_key and not is_index:
                return False
            here = here[step]
        return True

    def is_broken(self, path: Path) -> bool:
        """Whether that value, something in it or something around it was complained of."""
        return any(path[: len(bad)] == bad or bad[: len(path)] == path for bad in self.broken)

    def first(self, *paths: Path) -> Path:
        """The first of these paths that is written, or the first of all."""
        return next((path for path in paths if self.has(path)), paths[0])

    def problem(self, path: Path, message: str, *, of_key: bool = False) -> Problem:
        """That problem, at the place of the value (or of its key), or of the nearest thing around it that has a place."""
        for length in range(len(path), -1, -1):
            near = path[:length]
            if near in self.origins:
                origin, inner = self.origins[near], path[length:]
                is_said = origin.startswith("--") and all(isinstance(step, int) for step in inner)  # a flag names its key
                return Problem(origin, 0, 0, "" if is_said else path_text(path), message)
            mark = (of_key and self.keys.get(near)) or self.values.get(near)
            if mark is not None:
                return Problem(self.file, mark.line, mark.column, path_text(path), message)
        return Problem(self.file, 0, 0, path_text(path), message)

    def put(self, path: Path, value: Any, origin: str) -> None:
        """Write a value that did not stand in the file. Sections on the way are made; the last of a list is not."""
        self.put_all({path: value}, origin)

    def put_all(self, values: Mapping[Path, Any], origin: str) -> None:
        """Write several at once, as put() does."""
        written = set()
        for path, value in values.items():
            here: Any = self.data
            for step in path[:-1]:
                here = here.setdefault(step, {}) if isinstance(here, dict) else here[step]
                if not isinstance(here, (dict, list)):
                    break  # the section itself is wrong, which is a problem of its own
            else:
                here[path[-1]] = value
                written.add(path)
        self._forget(written)
        self.origins |= dict.fromkeys(written, origin)

    def leave_out(self, names: Collection[str]) -> None:
        """Forget these keys at the top."""
        for name in names:
            self.data.pop(name, None)
        self._forget({(name,) for name in names})

    def renumber(self, path: Path, moved: Mapping[int, int]) -> None:
        """The items of the list at `path` stand elsewhere now: old index -> new. What was known of the others goes."""
        depth = len(path)

        def after(old: Path) -> Path | None:
            step = old[depth] if len(old) > depth and old[:depth] == path else None
            if not isinstance(step, int):
                return old
            return (*path, moved[step], *old[depth + 1 :]) if step in moved else None

        for table in (self.values, self.keys, self.origins):
            found = [(after(old), known) for old, known in table.items()]
            table.clear()
            table.update((new, known) for new, known in found if new is not None)  # type: ignore[misc]
        self.broken = {new for new in map(after, self.broken) if new is not None}

    def move(self, old: Path, new: Path) -> Problem | None:
        """Read a key under its other name. The problem, when both names are given."""
        if not self.has(old):
            return None
        if self.has(new):
            return self.problem(old, f"is another name of {path_text(new)}, which is given too; keep one", of_key=True)
        if any(self.has(new[:n]) and not isinstance(self.at(new[:n]), dict) for n in range(1, len(new))):
            return None
        value = self.at(old[:-1]).pop(old[-1])
        parent: Any = self.data
        for n, step in enumerate(new[:-1], 1):
            if step not in parent:
                parent[step] = {}
                self.values[new[:n]] = self.values.get(old, Mark(1, 1))
            parent = parent[step]
        parent[new[-1]] = value
        for table in (self.values, self.keys):
            for path in [path for path in table if path[: len(old)] == old]:
                table[new + path[len(old) :]] = table.pop(path)
        return None

    def at(self, path: Path) -> Any:
        """What is written at that path; KeyError or IndexError when nothing is."""
        here: Any = self.data
        for step in path:
            here = here[step]
        return here

    def _forget(self, paths: Collection[Path]) -> None:
        """Where what stood at or below these paths came from."""
        for table in (self.values, self.keys, self.origins):
            for inner in [inner for inner in table if any(inner[:n] in paths for n in range(len(inner) + 1))]:
                del table[inner]
