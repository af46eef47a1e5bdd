"""The source of a configuration, a file's text or flags, stored so that it can be loaded again. Sent between processes.

The loader is imported on first use: a worker holds a Source and must not import PyYAML.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from balance.config.overrides.runtime_overrides import RuntimeChange
from balance.config.reading.document import COMMAND_LINE
from balance.discovery.discovered_pool import DiscoveredPool
from balance.tls.settings import Served

if TYPE_CHECKING:
    from balance.config.loading import LoadedWithChanges


class Kind(enum.StrEnum):
    """The kind of source."""

    FILE = "file"
    FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class Source:
    """A file and its text, or command-line flags."""

    kind: Kind
    file: str  # its name in problems; relative paths are resolved from its folder
    text: str = ""
    flags: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of_file(cls, file: str) -> Source:
        """The file with its present text. UnreadableError when it can't be read."""
        from balance.config.loading import read_text

        return cls(Kind.FILE, file, read_text(file))

    @classmethod
    def of_flags(cls, flags: Mapping[str, Any]) -> Source:
        """Flags under the parameter names of document_from_flags()."""
        return cls(Kind.FLAGS, COMMAND_LINE, flags=tuple(flags.items()))

    def read(self) -> Source:
        """The same file, read again. Flags never change."""
        return self.of_file(self.file) if self.kind is Kind.FILE else self

    def with_text(self, text: str) -> Source:
        """A file source with another text; flags are discarded."""
        return replace(self, kind=Kind.FILE, text=text, flags=())

    def load(
        self,
        changes: Sequence[RuntimeChange] = (),
        env: Mapping[str, str] | None = None,
        served: Served | None = None,
        discovered: Sequence[DiscoveredPool] = (),
    ) -> LoadedWithChanges:
        """Load it with run-time changes applied, over what was discovered. ConfigError has every problem. `served` is
        kept where its files can't be used now."""
        from balance.config.flags import document_from_flags
        from balance.config.loading import check_with_changes, load_with_changes

        if self.kind is Kind.FILE:
            return load_with_changes(self.text, self.file, env, changes, served or Served(), discovered)
        document, problems = document_from_flags(**dict(self.flags), env=env)
        return check_with_changes(document, problems, changes)
