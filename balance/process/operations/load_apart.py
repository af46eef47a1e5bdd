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
from types import FrameType
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
    ctrl_c = _HeldBack()
    try:
        pid = os.fork()
    except OSError:
        os.close(read_end)
        os.close(write_end)
        ctrl_c.let_go()
        return b""
    if pid == 0:
        _answer_and_exit(work, read_end, write_end, parent, ctrl_c)
    try:
        os.close(write_end)
        with open(read_end, "rb") as file:
            ctrl_c.let_go()
            packet = file.read()
    except BaseException:  # Ctrl-C: it may be told to the child as well, or not
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
    return packet if status == 0 else b""


class _HeldBack:
    """A Ctrl-C, which would leave the child behind where it comes before its parent is ready for it. A signal's mask holds it
    from one thread alone; and what is raised in a function that os.fork() calls afterwards is lost.
    """

    def __init__(self) -> None:
        self._has_come = False
        self._usual = signal.signal(signal.SIGINT, self._come)

    def _come(self, number: int, frame: FrameType | None) -> None:
        self._has_come = True

    def let_go(self) -> None:
        """It counts from now on, also if it has come."""
        signal.signal(signal.SIGINT, self._usual)
        if self._has_come:
            signal.raise_signal(signal.SIGINT)


def _answer_and_exit(work: Callable[[], bytes], read_end: int, write_end: int, parent: int, ctrl_c: _HeldBack) -> NoReturn:
    """In the child. What is raised here is raised in the parent again, and is told there."""
    status = 1
    try:
        from balance.process.os_calls import set_parent_death_signal

        ctrl_c.let_go()
        set_parent_death_signal(parent, signal.SIGKILL)  # reading a pipe or a network share may block for ever
        os.close(read_end)
        with open(write_end, "wb") as file:
            file.write(work())
        status = 0
    finally:
        os._exit(status)
