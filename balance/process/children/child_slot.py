"""A place that is always to be filled: worker 0, worker 1, control. Who fills it, and when a successor is due."""

from __future__ import annotations

from balance.process.children.child import FIRST_BACKOFF_S, Child, ChildState, next_backoff_s


class ChildSlot:
    """See the module. During a rolling restart two children stand at one post; the one that is to go is not counted here."""

    __slots__ = ("_backoff_s", "child", "name", "restart_at", "row", "worker_number")

    def __init__(self, name: str, worker_number: int | None) -> None:
        """`slot` is a worker's number, None for control."""
        self.name = name
        self.worker_number = worker_number
        self.child: Child | None = None
        self.row: int | None = None  # of the board, where the last one who was born for it counts
        self.restart_at: float | None = None  # when a successor is due
        self._backoff_s = 0.0

    @property
    def is_ready(self) -> bool:
        return self.child is not None and self.child.state is ChildState.READY

    def schedule_restart(self, now: float, lived_s: float) -> float:
        """Decide when a successor starts; returns the delay. At once, unless the children here keep dying young."""
        self._backoff_s = next_backoff_s(self._backoff_s, lived_s)
        # The first successor waits for nothing: connections are queuing for it.
        delay_s = 0.0 if self._backoff_s <= FIRST_BACKOFF_S else self._backoff_s
        self.restart_at = now + delay_s
        return delay_s
