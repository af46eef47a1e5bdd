"""A file, a text or flags -> a checked Config with its warnings, or every problem at once. The one way in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from balance.config.build import build
from balance.config.checking.validation import errors
from balance.config.checking.warnings import warnings
from balance.config.cpus import cpu_count
from balance.config.model import Config
from balance.config.overrides.runtime_overrides import ORIGIN, BackendChange, lay_over
from balance.config.reading.composer import MAX_TEXT_BYTES
from balance.config.reading.decoding import decode
from balance.config.reading.document import Document
from balance.config.reading.environment import override
from balance.config.reading.error_page_files import read_pages
from balance.config.reading.reader import read
from balance.config.schema.aliases import follow_aliases
from balance.errors import ConfigError, Problem


class UnreadableError(ConfigError):
    """There is no text to check: no such file, no permission, not a file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be served, and what an experienced eye would remark on it."""

    config: Config
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """A configuration with what operators changed at run time: the changes that hold, and a line for each that ended."""

    loaded: Loaded
    kept: tuple[BackendChange, ...] = ()
    dropped: tuple[str, ...] = ()


def load_file(path: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Loaded:
    """Read and check that file. `env` stands for the process's environment."""
    name = os.fspath(path)
    return load_text(read_text(name), name, env)


def read_text(name: str) -> str:
    """The text of that file. UnreadableError when there is none to be had, ConfigError when it is no text."""
    try:
        with open(name, "rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableError([Problem(name, 0, 0, "", f"can't be read: {reason}")]) from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        message = f"is not UTF-8 text: the byte 0x{content[error.start]:02x} is in the way"
        raise ConfigError([Problem(name, line, column, "", message)]) from None


def load_text(text: str, file: str, env: Mapping[str, str] | None = None) -> Loaded:
    """Check that text. `file` is what problems call it, and relative paths are from its folder."""
    return load_changed(text, file, env, ()).loaded


def load_changed(text: str, file: str, env: Mapping[str, str] | None, changes: Sequence[BackendChange]) -> Changed:
    """Check that text with these changes laid over it."""
    env = os.environ if env is None else env
    document, problems = read(text, file, env)
    problems += override(document, env)
    try:
        return check_changed(document, problems, changes)
    except ConfigError as error:
        is_asked_now = any(change.basis is None for change in changes)
        if not changes or is_asked_now or not _is_good(text, file, env):
            raise
        held = ", ".join(map(str, changes))
        message = f"the file alone is good; laid over it: {held} (`balance reload --discard-changes` forgets them)"
        raise ConfigError([*error.problems, Problem(ORIGIN, 0, 0, "", message)]) from None


def _is_good(text: str, file: str, env: Mapping[str, str]) -> bool:
    try:
        load_text(text, file, env)
    except ConfigError:
        return False
    return True


def check_changed(document: Document, problems: list[Problem], changes: Sequence[BackendChange]) -> Changed:
    """Judge a document that was read, with these changes laid over it."""
    kept, dropped, wrong = lay_over(document, changes)
    return Changed(check(document, problems + wrong), tuple(kept), tuple(dropped))


def check(document: Document, problems: list[Problem]) -> Loaded:
    """Judge a document that was read, with the problems of reading it."""
    problems += follow_aliases(document)
    root, wrong = decode(document)
    problems += wrong
    pages, wrong = read_pages(root, document, os.path.dirname(document.file))
    problems += wrong
    cpus = cpu_count()
    config, places = build(root, document, pages, cpus)
    problems += errors(config, places)
    if problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column)))
    found = warnings(config, places, cpus)
    return Loaded(config, tuple(sorted(found, key=lambda problem: (problem.line, problem.column))))
