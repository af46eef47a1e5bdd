"""One backend as a worker knows it while traffic flows: its numbers, whether it may be used, its parked connections."""

from __future__ import annotations

from typing import Protocol

from balance.config.model import BackendConfig
from balance.load import Load
from balance.runtime import cells


class Parked(Protocol):
    """A connection to a backend that waits for its next request."""

    def discard(self) -> None:
        """Close it now."""


class Backend:
    """Lives as long as its identity is configured, across snapshots. `slot` is its block on the board."""

    __slots__ = ("address", "block", "idle", "idle_timeout_s", "is_ready", "load", "name", "open_count", "slot")

    def __init__(self, config: BackendConfig, slot: int) -> None:
        self.name = config.name
        self.address = config.address
        self.slot = slot
        self.block = cells.block(slot)
        self.load = Load(config.weight)
        self.is_ready = True  # used at once; the first probe decides
        self.idle: list[Parked] = []  # newest last, and taken from the end: the older ones age out
        self.open_count = 0  # connections to it, parked or in use
        self.idle_timeout_s = 0.0  # how long a connection may be parked, as learned so far

    def __repr__(self) -> str:
        return f"Backend({self.name} {self.address} {self.load})"
