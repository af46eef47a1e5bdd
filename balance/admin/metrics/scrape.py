"""What one scrape reads: the view as it was when the scrape began, and sums over the workers' rows. Any thread may read it."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property

from balance.admin.metrics.fairness import RecentRequests
from balance.admin.metrics.family import Labels
from balance.admin.metrics.totals import Totals
from balance.admin.metrics.unbroken import Unbroken
from balance.admin.metrics.worker_cpu import WorkerCpu
from balance.admin.state_view import BackendView, StateView


class Remembered:
    """What is kept from one scrape to the next."""

    __slots__ = ("cpu_kept_us", "cpu_shown_us", "recent", "sums", "worker_cpu")

    def __init__(self) -> None:
        self.sums = Unbroken()
        self.recent = RecentRequests()
        self.worker_cpu = WorkerCpu()
        self.cpu_kept_us = 0  # of processes that the system tells nothing of any more
        self.cpu_shown_us = 0


class Scrape:
    """One scrape. Made on the event loop: a reload may replace the view's parts at any later moment."""

    def __init__(self, view: StateView, remembered: Remembered) -> None:
        self.view = replace(view, names=dict(view.names))
        self.key_states = dict(view.key_states())
        self.remembered = remembered
        self.totals = Totals(view.board.rows)
        self.slots = view.board.slots
        self.now = time.time()
        self.now_us = time.monotonic_ns() // 1000

    @cached_property
    def backends(self) -> list[tuple[BackendView, Labels]]:
        """Every backend, with the labels of its samples."""
        return [(each, {"pool": each.pool.name, "backend": each.backend.name}) for each in self.view.backends()]

    @cached_property
    def slots_of_pools(self) -> dict[str, list[int]]:
        """The slots of each pool's backends, those included that are gone."""
        found: dict[str, list[int]] = {pool.name: [] for pool in self.view.config.pools}
        present = {each.slot: (each.pool.name, each.backend.name) for each, _ in self.backends}
        for slot, (pool, _) in {**self.view.names, **present}.items():
            if pool in found:
                found[pool].append(slot)
        return found

    def column(self, cell: int) -> list[int]:
        """One cell of every slot's block."""
        return self.totals.column(cell, self.slots)
