"""Loads a configuration: a file, text or document -> Config with warnings, or ConfigError with every problem."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from balance.config.build import KeyPaths, build
from balance.config.checking.validation import errors
from balance.config.checking.warnings import warnings
from balance.config.cpus import cpu_count
from balance.config.model import Config
from balance.config.overrides.discovered import lay_discovered, mark_pools, without_wrong
from balance.config.overrides.runtime_overrides import ORIGIN, RuntimeChange, apply_changes
from balance.config.reading.access_list_files import read_lists
from balance.config.reading.aliases import resolve_aliases
from balance.config.reading.decoding import decode
from balance.config.reading.discovery_settings import discovery_errors
from balance.config.reading.document import MAX_TEXT_BYTES, Document
from balance.config.reading.environment import override
from balance.config.reading.error_page_files import read_pages
from balance.config.reading.reader import read
from balance.config.reading.security_files import read_security_files
from balance.config.reading.tls_files import read_pem_files
from balance.discovery.discovered_pool import DiscoveredPool
from balance.errors import ConfigError, Problem, UnreadableError
from balance.tls.settings import Served

NOTHING_SERVED: Final = Served()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration and its warnings."""

    config: Config
    warnings: tuple[Problem, ...]
    paths: KeyPaths = field(repr=False, compare=False)  # where its parts stand in the file

    def backend_problem(self, pool: int, backend: int, message: str) -> Problem:
        """A problem with the backend of these numbers, as `--check-backends` finds some."""
        return self.paths.document.problem((*self.paths.pools[pool], "backends", backend), message)


@dataclass(frozen=True, slots=True)
class LoadedWithChanges:
    """A configuration with run-time changes applied: the changes in effect, and a message for each that was dropped."""

    loaded: Loaded
    kept: tuple[RuntimeChange, ...] = ()
    dropped: tuple[str, ...] = ()


def load_file(path: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a file. `env` None: the environment of the process."""
    name = os.fspath(path)
    return load_text(read_text(name), name, env)


def read_text(name: str) -> str:
    """The text of a file. UnreadableError when it can't be read, ConfigError when it is not UTF-8."""
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
    """Check a text. `file` is its name in problems; relative paths in it are resolved from that file's folder."""
    return load_with_changes(text, file, env, ()).loaded


def load_with_changes(
    text: str,
    file: str,
    env: Mapping[str, str] | None,
    changes: Sequence[RuntimeChange],
    served: Served = NOTHING_SERVED,
    discovered: Sequence[DiscoveredPool] = (),
) -> LoadedWithChanges:
    """Check a text with run-time changes applied, over what was discovered. `served` is kept where its files can't be used now.

    Endpoints that are wrong are left out, and said among the dropped.
    """
    env = os.environ if env is None else env
    document, problems = read(text, file, env)
    problems += override(document, env)
    try:
        return check_with_changes(document, problems, changes, served, discovered)
    except ConfigError as error:
        left, lines = without_wrong(document, discovered, error.problems)
        if lines:
            loaded = load_with_changes(text, file, env, changes, served, left)
            return replace(loaded, dropped=(*lines, *loaded.dropped))
        has_new = any(change.basis is None for change in changes)
        if not changes or has_new or not _is_valid(text, file, env):
            raise
        listed = ", ".join(map(str, changes))
        message = f"the file alone is good; laid over it: {listed} (`balance reload --discard-changes` forgets them)"
        raise ConfigError([*error.problems, Problem(ORIGIN, 0, 0, "", message)], error.warnings) from None


def _is_valid(text: str, file: str, env: Mapping[str, str]) -> bool:
    try:
        load_text(text, file, env)
    except ConfigError:
        return False
    return True


def check_with_changes(
    document: Document,
    problems: list[Problem],
    changes: Sequence[RuntimeChange],
    served: Served = NOTHING_SERVED,
    discovered: Sequence[DiscoveredPool] = (),
) -> LoadedWithChanges:
    """Check a document with run-time changes applied, over what was discovered."""
    mark_pools(document)
    kept, dropped, wrong = apply_changes(document, changes, lay_discovered(document, discovered))
    return LoadedWithChanges(check(document, problems + wrong, served), tuple(kept), tuple(dropped))


def check(document: Document, problems: list[Problem], served: Served = NOTHING_SERVED) -> Loaded:
    """Decode, build and validate a document. `problems` are those of reading it."""
    problems += resolve_aliases(document)
    root, wrong = decode(document)
    problems += wrong
    pages, wrong = read_pages(root, document, os.path.dirname(document.file))
    problems += wrong
    lists, wrong = read_lists(root, document, os.path.dirname(document.file))
    problems += wrong
    files, wrong = read_security_files(root, document, os.path.dirname(document.file))
    problems += wrong
    pems = read_pem_files(root, document, os.path.dirname(document.file), served)
    problems += pems.problems
    found = discovery_errors(root, document)
    problems += [document.problem(path, message) for path, message in found if not document.is_broken(path)]
    cpus = cpu_count()
    config, paths = build(root, document, pages, cpus, lists, files, pems.texts)
    is_read = not problems  # else the rest is of something that the file does not say
    problems += errors(config, paths)
    if problems:
        raise ConfigError(_in_order(problems), _warnings_beside(config, paths, cpus) if is_read else ())
    return Loaded(config, _in_order([*warnings(config, paths, cpus), *pems.kept]), paths)


def _warnings_beside(config: Config, paths: KeyPaths, cpus: int) -> tuple[Problem, ...]:
    """The warnings of a file that has errors, too; none where these are in the way of finding them."""
    try:
        return _in_order(warnings(config, paths, cpus))
    except Exception:  # what is wrong with it is said
        return ()


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """As the file has them, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column)))
