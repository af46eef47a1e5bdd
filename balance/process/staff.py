"""The children of one instance: control and a worker per slot. Who lives, who has reported, who is to come back when.

Decides nothing about the instance: the supervisor says whether the dead are replaced.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from balance.process.child import Child, Life, Report, how_it_ended

log = logging.getLogger("balance.process")

NEVER = float("inf")


class Departure(NamedTuple):
    """One child that has ended, and the words for it."""

    child: Child
    status: int  # as wait() gave it
    words: str


class Staff:
    def __init__(
        self,
        workers: int,
        be_worker: Callable[[int, Report], int],
        be_control: Callable[[Report], int],
        selector: selectors.BaseSelector,
    ) -> None:
        """Nobody is started yet. Report pipes are registered with `selector`, each with its Child as data."""
        self.workers = [Child(f"worker {slot}", slot, _for_slot(be_worker, slot)) for slot in range(workers)]
        self.control = Child("control", None, be_control)
        self.everyone = [*self.workers, self.control]
        self._selector = selector

    @property
    def is_ready(self) -> bool:
        """Whether every child has reported that it does its work."""
        return all(child.life is Life.READY for child in self.everyone)

    @property
    def unready(self) -> str:
        """The names of those who have not."""
        return ", ".join(child.name for child in self.everyone if child.life is not Life.READY)

    @property
    def workers_live(self) -> bool:
        return any(child.life is not Life.GONE for child in self.workers)

    @property
    def anyone_lives(self) -> bool:
        return any(child.life is not Life.GONE for child in self.everyone)

    @property
    def next_start(self) -> float:
        """When somebody is to be started again, on the monotonic clock; infinity when nobody is."""
        return min((child.restart_at for child in self.everyone if child.restart_at is not None), default=NEVER)

    def start(self, child: Child) -> None:
        """Fork one. OSError when there is no room for another process."""
        child.start(time.monotonic())
        self._selector.register(child.report_fd, selectors.EVENT_READ, child)

    def start_due(self, now: float) -> None:
        """Start the successors whose time has come."""
        for child in self.everyone:
            if child.restart_at is not None and now >= child.restart_at:
                try:
                    self.start(child)
                except OSError as error:
                    delay_s = child.schedule_restart(now)
                    log.error("cannot start %s: %s; next attempt in %gs", child.name, error.strerror, delay_s)

    def start_nobody(self) -> None:
        """Forget the successors that were to come."""
        for child in self.everyone:
            child.restart_at = None

    def hear(self, child: Child) -> bool:
        """Take in a report. True when it says that the child has become ready."""
        before = child.life
        if not child.listen():
            self._selector.unregister(child.report_fd)
        return child.life is Life.READY and before is not Life.READY

    def departures(self) -> list[Departure]:
        """Whoever has ended since the last call."""
        departures = []
        for child in self.everyone:
            was_ready = child.life is Life.READY
            status = child.reap()
            if status is None:
                continue
            if child.report_fd in self._selector.get_map():
                self._selector.unregister(child.report_fd)
            child.close_report()
            words = f"{child.name} (pid {child.pid}) {how_it_ended(status)}"
            if not was_ready:
                words = f"{child.name} could not start: {child.complaint or words}"
            departures.append(Departure(child, status, words))
        return departures

    def send(self, children: Iterable[Child], signum: signal.Signals) -> None:
        for child in children:
            child.send(signum)

    def kill(self) -> None:
        """End everybody at once and wait for them: no process is left behind."""
        self.send(self.everyone, signal.SIGKILL)
        for child in self.everyone:
            if child.life is not Life.GONE:
                os.waitpid(child.pid, 0)
                child.life = Life.GONE
                child.close_report()

    def let_go(self) -> None:
        """In a child: close what belongs to the supervisor."""
        for child in self.everyone:
            child.close_report()


def _for_slot(be_worker: Callable[[int, Report], int], slot: int) -> Callable[[Report], int]:
    return lambda report: be_worker(slot, report)
