"""The orders that the admin API sends to the supervisor, and their result. Pickled between processes."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from balance.config.model import Config
from balance.config.overrides.runtime_overrides import RuntimeChange
from balance.discovery.discovered_pool import DiscoveredPool


@dataclass(frozen=True, slots=True)
class Reload:
    """Load the configuration and serve it."""

    text: str | None = None  # instead of the file's
    rollback: bool = False  # another generation instead of the file: the newest that differs from what is served
    to: int = 0  # or the one with this number
    discard_changes: bool = False  # forget what was changed at run time
    dry_run: bool = False  # say what would change


@dataclass(frozen=True, slots=True)
class ChangeBackends:
    """Lay runtime changes over the configuration."""

    changes: tuple[RuntimeChange, ...]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ChangeDiscovered:
    """Lay these sets over the configuration, in place of those of the same pools."""

    sets: tuple[DiscoveredPool, ...]

    @property
    def dry_run(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Restart:
    """Rolling restart of the workers."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Hand over to a new instance."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain and exit, as SIGTERM does."""


Order = Reload | ChangeBackends | ChangeDiscovered | Restart | Upgrade | Stop


class ReloadResult(enum.IntEnum):
    """The result of a reload. The values index cells of shared memory: append only."""

    SUCCESS = 0
    FAILURE = 1  # nothing has changed
    UNCHANGED = 2  # there was nothing to change

    @property
    def word(self) -> str:
        """As metrics and /status write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class OrderResult:
    """The result of an order. When it was refused, nothing changed."""

    is_done: bool
    generation: int  # that is served now
    lines: tuple[str, ...] = ()  # what changed, or would
    problems: tuple[str, ...] = ()  # why it was refused
    dropped: tuple[str, ...] = ()  # changes made at run time that the file has ended
    summary: str = ""


@dataclass(frozen=True, slots=True)
class FailedReload:
    """A reload that was refused."""

    at: float  # seconds since the epoch
    origin: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GenerationInfo:
    """A configuration that is or was served."""

    number: int
    made_at: float  # seconds since the epoch
    origin: str  # start, upgrade, SIGHUP, admin API, the file has changed, change at run time, rollback to 3
    config: Config
    is_current: bool
    summary: str = ""  # what differs from the one before, in a few words
    refreshed: int = 0  # the number of the one that this is, but for what was discovered since; 0: its own

    @property
    def base(self) -> int:
        """The number that an order or a file has made it with: what discovery finds since makes no entry of its own."""
        return self.refreshed or self.number
