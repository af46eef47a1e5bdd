"""What one scrape reads: the view as it was when the scrape began, and sums over the workers' rows. Any thread may read it."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property

from balance.admin.metrics.definition import Labels
from balance.admin.metrics.fairness import RecentRequests
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
        self.discovery = dict(view.discovery())
        self.autoscalers = tuple(view.autoscalers())
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
            if pool in found and slot < self.slots:
                found[pool].append(slot)
        return found

    @cached_property
    def slots_of_backends(self) -> list[list[int]]:
        """For each of `backends` the slots that were its own: one for each address that it had."""
        found: dict[tuple[str, str], list[int]] = {}
        for each, _ in self.backends:
            found[each.pool.name, each.backend.name] = [each.slot]
        for slot, name in self.view.names.items():
            slots = found.get(name)
            if slots is not None and slot < self.slots and slot not in slots:
                slots.append(slot)
        return list(found.values())

    def counts(self, cell: int) -> list[int]:
        """A counter of each of `backends`. It does not fall when the address changes, nor jump when that is changed back."""
        column, sums = self.column(cell), self.remembered.sums
        counts = []
        for (_, labels), slots in zip(self.backends, self.slots_of_backends, strict=True):
            key = (cell, labels["pool"], labels["backend"])
            if len(slots) == 1 and not sums.knows(key):
                counts.append(column[slots[0]])
            else:
                counts.append(sums.value(key, sum([column[slot] for slot in slots])))
        return counts

    def column(self, cell: int) -> list[int]:
        """One cell of every slot's block."""
        return self.totals.column(cell, self.slots)
