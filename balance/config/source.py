"""Where a configuration comes from, kept so that it can be read again, or checked again as it was. Goes between processes.

What reads and checks is imported when it is used: a worker knows its configuration's source and must not pay for YAML.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from balance.config.overrides.runtime_overrides import BackendChange

if TYPE_CHECKING:
    from balance.config.loading import Changed

COMMAND_LINE = "command line"  # what stands for the file where there is none


class Kind(enum.StrEnum):
    """What a configuration is written in."""

    FILE = "file"
    FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class Source:
    """A file with the text that it had, or the flags of a command line."""

    kind: Kind
    file: str  # what problems call it, and what a relative path is from
    text: str = ""
    flags: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of_file(cls, file: str) -> Source:
        """That file as it is now. UnreadableError when it can't be read."""
        from balance.config.loading import read_text

        return cls(Kind.FILE, file, read_text(file))

    @classmethod
    def of_flags(cls, flags: Mapping[str, Any]) -> Source:
        """These flags, by the names that document_from_flags() has."""
        return cls(Kind.FLAGS, COMMAND_LINE, flags=tuple(flags.items()))

    def read(self) -> Source:
        """The same place, read again. Flags stay what they were."""
        return self.of_file(self.file) if self.kind is Kind.FILE else self

    def with_text(self, text: str) -> Source:
        """As if the file had that text; flags give way to it."""
        return replace(self, kind=Kind.FILE, text=text, flags=())

    def load(self, changes: Sequence[BackendChange] = (), env: Mapping[str, str] | None = None) -> Changed:
        """Check it, with these changes laid over it. ConfigError has every problem."""
        from balance.config.flags import document_from_flags
        from balance.config.loading import check_changed, load_changed

        if self.kind is Kind.FILE:
            return load_changed(self.text, self.file, env, changes)
        document, problems = document_from_flags(**dict(self.flags), env=env)
        return check_changed(document, problems, changes)
