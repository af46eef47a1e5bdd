"""The interface of an operation: a reload, a rolling restart or an upgrade, which takes many turns of the supervisor's loop."""

from __future__ import annotations

from typing import Protocol

from balance.process.children.child import Child
from balance.process.ipc.pipe import Message


class Operation(Protocol):
    """One runs at a time. It is driven by the events below and ends with one order result; what it has not done by then is
    undone.

    Events after its end have no effect.
    """

    deadline: float  # when expired() is due, on the monotonic clock

    @property
    def is_over(self) -> bool: ...

    def start(self, now: float) -> None: ...

    def on_message(self, child: Child, message: Message, now: float) -> None:
        """A child has sent a message that is not the supervisor's own."""

    def on_ready(self, child: Child, now: float) -> None: ...

    def on_exit(self, child: Child, description: str, now: float) -> None:
        """A child has exited; `description` says how."""

    def on_deadline(self, now: float) -> None:
        """The deadline has passed."""

    def after_fork_in_child(self) -> None:
        """In a child forked meanwhile: close the descriptors that belong to this operation."""

    def abort(self, why: str) -> None:
        """The instance is about to end."""
