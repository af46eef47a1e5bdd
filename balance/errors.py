"""The exception classes of Balance.

BalanceError
├── ConfigError          the configuration is wrong; carries every problem found
│   └── UnreadableError  its file can't be read
├── StartError           the start failed, e.g. a port is in use; a message of one line for the user
├── ProtocolError        a peer violated HTTP; has the status to answer and why
└── UpstreamError        a backend failed; has the phase, since only CONNECT proves that nothing was sent
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from balance.model import TryPhase, Why


class BalanceError(Exception):
    """The base class."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a configuration: its place (line and column from 1, 0 if unknown) and a message."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        return f"{where}{self.path}: {self.message}" if self.path else f"{where}{self.message}"


class ConfigError(BalanceError):
    """The configuration is invalid. `problems` has every problem found, in the order of the file; `warnings` what else was,
    where all of it could be read.
    """

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


class UnreadableError(ConfigError):
    """The file can't be read: it does not exist, is not a file, or permission is denied."""


class StartError(BalanceError):
    """The start failed; the text is the one line that the user sees."""


class ProtocolError(BalanceError):
    """A message that must not be forwarded. `status` is for the error response, `why` also for the log."""

    def __init__(self, status: int, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.why = why
        self.detail = detail


class UpstreamError(BalanceError):
    """A backend failed in `phase`, with the reason `why`. `is_ours`: a resource of this host is exhausted."""

    def __init__(self, phase: TryPhase, why: Why, detail: str, *, is_ours: bool = False) -> None:
        super().__init__(detail)
        self.is_ours = is_ours
        self.phase = phase
        self.why = why
        self.detail = detail
