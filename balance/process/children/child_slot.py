"""One slot of the process table: worker 0, worker 1, control. Holds the child that fills it and when the next one is due."""

from __future__ import annotations

from balance.process.children.child import Child, ChildState
from balance.process.children.crash_backoff import CrashBackoff


class ChildSlot:
    """During a rolling restart a slot has two children; the one that drains is in ProcessTable.unassigned, not here."""

    __slots__ = ("_backoff", "child", "name", "restart_at", "row", "worker_number")

    def __init__(self, name: str, worker_number: int | None) -> None:
        """`worker_number` is None for control."""
        self.name = name
        self.worker_number = worker_number
        self.child: Child | None = None
        self.row: int | None = None  # the shared-memory row of the last child
        self.restart_at: float | None = None  # when to start the next child, on the monotonic clock
        self._backoff = CrashBackoff()

    @property
    def is_ready(self) -> bool:
        return self.child is not None and self.child.state is ChildState.READY

    def schedule_restart(self, now: float, uptime_s: float) -> float:
        """Set when the next child is started, after one that lived for `uptime_s`; returns the delay in seconds."""
        delay_s = self._backoff.next_delay_s(uptime_s)
        self.restart_at = now + delay_s
        return delay_s
