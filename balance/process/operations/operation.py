"""Something that the supervisor has begun and that takes more than one turn: a reload, a rolling restart, an upgrade."""

from __future__ import annotations

from typing import Protocol

from balance.process.children.child import Child
from balance.process.ipc.pipe import Message


class Operation(Protocol):
    """One at a time. It is told what happens, and ends with one verdict; what it has not done by then is undone.

    What it is told after its end changes nothing.
    """

    deadline: float  # when expired() is due, on the monotonic clock

    @property
    def is_over(self) -> bool: ...

    def start(self, now: float) -> None: ...

    def on_message(self, child: Child, message: Message, now: float) -> None:
        """A child has said something to it."""

    def on_ready(self, child: Child, now: float) -> None: ...

    def on_exit(self, child: Child, description: str, now: float) -> None:
        """A child is gone; `words` say how."""

    def on_deadline(self, now: float) -> None:
        """The deadline has passed."""

    def after_fork_in_child(self) -> None:
        """In a child that is forked meanwhile: close whatever is open for this alone."""

    def abort(self, why: str) -> None:
        """The instance ends."""
