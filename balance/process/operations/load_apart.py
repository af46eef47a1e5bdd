"""Loads a configuration in a process of its own, at the start, before there is anything that a process table would know.

What reads configurations, pydantic and PyYAML above all, weighs more than what serves by them: 15 MB that the supervisor would
keep, and every child after it. A reload has its loader for the same reason: see `load_config`.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from balance.config.model import Config
from balance.config.overrides.runtime_overrides import RuntimeChange
from balance.config.source import Source
from balance.discovery.discovered_pool import DiscoveredPool
from balance.errors import ConfigError, Problem, UnreadableError


@dataclass(frozen=True, slots=True)
class LoadedApart:
    """A valid configuration, and what became of the runtime changes laid over it."""

    config: Config
    source: Source
    kept: tuple[RuntimeChange, ...]
    dropped: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A ConfigError on its way: an exception is made again of its words alone."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    is_unreadable: bool


def load_apart(
    source: Callable[[], Source], changes: Sequence[RuntimeChange] = (), discovered: Sequence[DiscoveredPool] = ()
) -> LoadedApart:
    """Load what `source` returns, with `changes` over what was `discovered`. ConfigError has every problem.

    Where no process can be started, or it ends without an answer, it is loaded here: what is wrong with more than the
    configuration is then told where everything is.
    """

    def load() -> LoadedApart | _Wrong:
        try:
            found = source()
            changed = found.load(changes, discovered=discovered)
        except ConfigError as error:
            return _Wrong(error.problems, error.warnings, isinstance(error, UnreadableError))
        loaded = changed.loaded
        return LoadedApart(loaded.config, found, tuple(changed.kept), tuple(changed.dropped), tuple(map(str, loaded.warnings)))

    packet = _in_child(lambda: pickle.dumps(load(), pickle.HIGHEST_PROTOCOL))
    answer = pickle.loads(packet) if packet else load()
    if isinstance(answer, _Wrong):
        kind = UnreadableError if answer.is_unreadable else ConfigError
        raise kind(answer.problems, answer.warnings)
    assert isinstance(answer, LoadedApart)
    return answer


def _in_child(work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a forked process; nothing where that fails."""
    read_end, write_end = os.pipe()
    parent = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # a Ctrl-C that comes now would leave the child behind
    try:
        pid = os.fork()
    except OSError:
        os.close(read_end)
        os.close(write_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return b""
    if pid == 0:
        _answer_and_exit(work, read_end, write_end, parent, mask)
    try:
        os.close(write_end)
        with open(read_end, "rb") as file:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            packet = file.read()
    except BaseException:  # Ctrl-C: it may be told to the child as well, or not
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
    return packet if status == 0 else b""


def _answer_and_exit(
    work: Callable[[], bytes], read_end: int, write_end: int, parent: int, mask: set[int | signal.Signals]
) -> NoReturn:
    """In the child. What is raised here is raised in the parent again, and is told there."""
    status = 1
    try:
        from balance.process.os_calls import set_parent_death_signal

        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        set_parent_death_signal(parent, signal.SIGKILL)  # reading a pipe or a network share may block for ever
        os.close(read_end)
        with open(write_end, "wb") as file:
            file.write(work())
        status = 0
    finally:
        os._exit(status)
