"""A configuration that is or was served, with all that a rollback to it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from balance.admin.supervisor_orders import GenerationInfo
from balance.config.model import Config
from balance.config.overrides.runtime_overrides import RuntimeChange
from balance.config.source import Source
from balance.discovery.discovered_pool import DiscoveredPool

MAX_GENERATIONS = 10  # generations that can be looked at and gone back to
MAX_HISTORY_BYTES = 64 * 1024 * 1024  # of their texts


@dataclass(frozen=True, slots=True)
class Generation:
    """Numbers start at 1 and go on over reloads, runtime changes and upgrades."""

    number: int
    config: Config
    slots: Mapping[tuple[str, str], int]  # the shared-memory slot of each (pool, backend)
    source: Source
    changes: tuple[RuntimeChange, ...]  # made at run time, laid over the source
    made_at: float  # seconds since the epoch
    origin: str  # start, upgrade, SIGHUP, admin API, the file has changed, change at run time, rollback to 3
    summary: str = ""  # what differs from the one before, in a few words
    discovered: tuple[DiscoveredPool, ...] = ()  # the last set of each pool, laid over the source beneath the changes
    refreshed: int = 0  # the number of the one that this is, but for what was discovered since; 0: its own

    @property
    def base(self) -> int:
        """The number of the generation that an order or a file has made."""
        return self.refreshed or self.number

    def info(self, current: int) -> GenerationInfo:
        """As the admin API shows it."""
        return GenerationInfo(
            self.number, self.made_at, self.origin, self.config, self.number == current, self.summary, self.refreshed
        )


class HasConfig(Protocol):
    """A configuration in the history."""

    @property
    def config(self) -> Config: ...


G = TypeVar("G", bound=HasConfig)


def distinct(history: Sequence[G]) -> list[G]:
    """Those that differ from the next one, the newest MAX_GENERATIONS."""
    found: list[G] = []
    for generation in reversed(history):
        if len(found) < MAX_GENERATIONS and not (found and generation.config == found[-1].config):
            found.append(generation)
    return found[::-1]


def trim_history(history: Sequence[Generation]) -> list[Generation]:
    """The history that is kept for rollbacks, the newest last."""
    left = MAX_HISTORY_BYTES
    found: list[Generation] = []
    for generation in reversed(distinct(history)):
        left -= len(generation.source.text)
        if found and left < 0:
            break
        found.append(generation)
    return found[::-1]
