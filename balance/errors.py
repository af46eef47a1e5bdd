"""Every exception that Balance raises on purpose.

BalanceError
├── ConfigError          the configuration is wrong; carries every problem found
├── StartError           the start cannot go on: a port in use, a directory missing; one line for the user
├── ProtocolError        a peer broke HTTP; carries whose fault, the status to answer and why
└── UpstreamError        a backend failed; carries the phase, because only CONNECT proves that nothing was sent
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from balance.model import TryPhase, Why


class BalanceError(Exception):
    """Root of the tree."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration: where (1-based line and column, 0 if unknown) and what is allowed."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class ConfigError(BalanceError):
    """The configuration cannot be used. `problems` holds every fault found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class StartError(BalanceError):
    """The start failed; the text is the one line that the user sees."""


class ProtocolError(BalanceError):
    """A message that must not be passed on. `status` and `why` are what the client and the log are told."""

    def __init__(self, status: int, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.why = why
        self.detail = detail


class UpstreamError(BalanceError):
    """A backend failed in `phase`; `why` says how. `is_ours`: it is this machine that ran out of something."""

    def __init__(self, phase: TryPhase, why: Why, detail: str, *, is_ours: bool = False) -> None:
        super().__init__(detail)
        self.is_ours = is_ours
        self.phase = phase
        self.why = why
        self.detail = detail
