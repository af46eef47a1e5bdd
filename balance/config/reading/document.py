"""A configuration document: plain data with the line and column of every key and value.

A path is a tuple of keys and indices: ``("backends", 1, "weight")`` is shown as ``backends[1].weight``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from balance.errors import Problem

Path = tuple[str | int, ...]

MAX_TEXT_BYTES = 16 * 1024 * 1024  # of a file; 10,000 backends are about 1 MB
COMMAND_LINE = "command line"  # the file name of a document that was built from flags


def path_text(path: Iterable[str | int]) -> str:
    """The path in the form that messages have, always one line."""
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
    """A line and column, both from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """`values` and `keys` map paths to marks; `origins` has the paths that came from a variable, a flag or the admin API.

    `broken` has the paths that were reported already, so that one mistake is one problem.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    found_in: frozenset[str] | None = None  # the pools that have no backends but what is laid over; None: nothing is

    def has(self, path: Path) -> bool:
        """Whether there is a value at that path."""
        here: Any = self.data
        for step in path:
            is_key = isinstance(here, dict) and step in here
            is_index = isinstance(here, list) and isinstance(step, int) and step < len(here)
            if not is_key and not is_index:
                return False
            here = here[step]
        return True

    def is_broken(self, path: Path) -> bool:
        """Whether that path, a parent or a child of it was reported already."""
        return any(path[: len(bad)] == bad or bad[: len(path)] == path for bad in self.broken)

    def first(self, *paths: Path) -> Path:
        """The first of these paths that has a value, else the first path."""
        return next((path for path in paths if self.has(path)), paths[0])

    def problem(self, path: Path, message: str, *, of_key: bool = False) -> Problem:
        """A Problem at the mark of the value (or its key); without a mark, at that of the nearest parent."""
        for length in range(len(path), -1, -1):
            near = path[:length]
            if near in self.origins:
                origin, inner = self.origins[near], path[length:]
                is_flag = origin.startswith("--") and all(isinstance(step, int) for step in inner)  # the flag implies the key
                return Problem(origin, 0, 0, "" if is_flag else path_text(path), message)
            mark = (of_key and self.keys.get(near)) or self.values.get(near)
            if mark is not None:
                return Problem(self.file, mark.line, mark.column, path_text(path), message)
        return Problem(self.file, 0, 0, path_text(path), message)

    def put(self, path: Path, value: Any, origin: str) -> None:
        """Set a value that is not from the file. Missing sections are created, missing list items are not."""
        self.put_all({path: value}, origin)

    def put_all(self, values: Mapping[Path, Any], origin: str) -> None:
        """Set several values at once, as put() does."""
        written = set()
        for path, value in values.items():
            here: Any = self.data
            for step in path[:-1]:
                here = here.setdefault(step, {}) if isinstance(here, dict) else here[step]
                if not isinstance(here, (dict, list)):
                    break  # the section is not a mapping, which is reported on its own
            else:
                here[path[-1]] = value
                written.add(path)
        self._forget(written)
        self.origins |= dict.fromkeys(written, origin)

    def leave_out(self, names: Collection[str]) -> None:
        """Remove these top-level keys."""
        for name in names:
            self.data.pop(name, None)
        self._forget({(name,) for name in names})

    def renumber(self, path: Path, moved: Mapping[int, int]) -> None:
        """Update marks and origins after items of the list at `path` moved: `moved` maps old to new indices."""
        depth = len(path)

        def renumbered(old: Path) -> Path | None:
            step = old[depth] if len(old) > depth and old[:depth] == path else None
            if not isinstance(step, int):
                return old
            return (*path, moved[step], *old[depth + 1 :]) if step in moved else None

        for table in (self.values, self.keys, self.origins):
            entries = [(renumbered(old), value) for old, value in table.items()]
            table.clear()
            table.update((new, value) for new, value in entries if new is not None)  # type: ignore[misc]
        self.broken = {new for new in map(renumbered, self.broken) if new is not None}

    def move(self, old: Path, new: Path) -> Problem | None:
        """Rename a key with everything below it. Returns a problem when both names are given."""
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
        """The value at that path; KeyError or IndexError when there is none."""
        here: Any = self.data
        for step in path:
            here = here[step]
        return here

    def _forget(self, paths: Collection[Path]) -> None:
        """Remove the marks and origins at and below these paths."""
        if not paths:
            return
        lengths = {len(path) for path in paths}
        for table in (self.values, self.keys, self.origins):
            for inner in [inner for inner in table if any(inner[:length] in paths for length in lengths)]:
                del table[inner]
