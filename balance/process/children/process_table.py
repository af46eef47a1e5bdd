"""The children of one instance: who stands at which post, who is leaving, who has reported, who is to come back when.

Decides nothing about the instance: the supervisor says whether the dead are replaced.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import selectors
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from balance.process.children.child import Child, ChildState, SupervisorPipe, describe_exit_status
from balance.process.children.child_slot import ChildSlot
from balance.process.ipc.pipe import Message
from balance.process.shared_memory.row_ownership import RowOwnership

log = logging.getLogger("balance.process")

NEVER = float("inf")

ChildMain = Callable[[Child, SupervisorPipe], int]


class ChildExit(NamedTuple):
    """One child that has ended, and the words for it."""

    child: Child
    child_slot: ChildSlot | None  # that is vacant now
    status: int  # as wait() gave it
    description: str
    messages: list[Message]  # its last


class ProcessTable:
    """Children are born with start(). Their lines are registered with `selector`, each with its Child as data."""

    def __init__(
        self,
        workers: int,
        worker_main: ChildMain,
        control_main: ChildMain,
        selector: selectors.BaseSelector,
        rows: RowOwnership,
        inodes: Callable[[int | None], frozenset[int]],
        after_fork_in_child: Callable[[str], None],
    ) -> None:
        """Nobody is started yet. `rows` says which are nobody else's.

        `inodes` are of the listening sockets that a worker of that slot (None: control) is born with. `let_go` is what every
        child does first, given its name.
        """
        self._main_functions = {"worker": worker_main, "control": control_main}
        self.workers: list[ChildSlot] = []
        self.control = ChildSlot("control", None)
        self.unassigned: list[Child] = []  # who leave, who are to take over, and who help for a moment
        self._detached: Child | None = None
        self._rows = rows
        self._inodes = inodes
        self._after_fork_in_child = after_fork_in_child
        self._selector = selector
        self.set_worker_count(workers)

    @property
    def child_slots(self) -> list[ChildSlot]:
        return [*self.workers, self.control]

    @property
    def live_children(self) -> list[Child]:
        """Every living child."""
        found = [child_slot.child for child_slot in self.child_slots if child_slot.child is not None] + self.unassigned
        return [child for child in found if child.state is not ChildState.EXITED]

    @property
    def is_ready(self) -> bool:
        """Whether at every post stands somebody who has reported that it does its work."""
        return all(child_slot.is_ready for child_slot in self.child_slots)

    @property
    def unready_names(self) -> str:
        """The names of the posts where nobody does."""
        return ", ".join(child_slot.name for child_slot in self.child_slots if not child_slot.is_ready)

    @property
    def live_workers(self) -> list[Child]:
        """Every living worker, those who leave included."""
        return [child for child in self.live_children if child.worker_number is not None]

    @property
    def next_restart(self) -> float:
        """When somebody is to be started again, on the monotonic clock; infinity when nobody is."""
        return min(
            (child_slot.restart_at for child_slot in self.child_slots if child_slot.restart_at is not None), default=NEVER
        )

    def set_worker_count(self, count: int) -> list[Child]:
        """There are so many posts for workers from now on. Returns who has lost its own; each is to be told to finish."""
        while len(self.workers) < count:
            worker_number = len(self.workers)
            self.workers.append(ChildSlot(f"worker {worker_number}", worker_number))
        lost = [child_slot.child for child_slot in self.workers[count:] if child_slot.child is not None]
        del self.workers[count:]
        self.unassigned += lost
        return lost

    def fork_for_slot(self, child_slot: ChildSlot) -> Child:
        """Fork a child for that post; it does not stand there yet. OSError when there is no room for another process, or no row
        of the board left to a worker."""
        if child_slot.worker_number is None:
            return self._fork_and_run(Child(child_slot.name))
        with self._rows.locked() as is_held:
            if not is_held:
                raise OSError(errno.EAGAIN, "another instance is busy with the rows of the board")
            row = child_slot.row = self._free_row(child_slot)
            child = self._fork_and_run(Child(child_slot.name, child_slot.worker_number, row))
            self._rows.claim(row, child.pid)
        return child

    def _fork_and_run(self, child: Child) -> Child:
        child.inodes = self._inodes(child.worker_number)
        main = self._main_functions["control" if child.worker_number is None else "worker"]
        self.fork_child(child, lambda supervisor_pipe: main(child, supervisor_pipe))
        return child

    def fork_child(self, child: Child, main: Callable[[SupervisorPipe], int]) -> None:
        """Fork it; it is one of the others until somebody gives it a post."""

        def run_child(supervisor_pipe: SupervisorPipe) -> int:
            self._after_fork_in_child(child.name)
            for each in self.live_children:
                each.close_pipe()  # the supervisor's ends
            return main(supervisor_pipe)

        child.start(time.monotonic(), run_child)
        assert child.pipe_end is not None
        self._selector.register(child.pipe_end, selectors.EVENT_READ, child)
        self.unassigned.append(child)

    def fork_into_slot(self, child_slot: ChildSlot) -> Child:
        """Fork a child that stands at that post from now on."""
        child = self.fork_for_slot(child_slot)
        self.assign(child_slot, child)
        return child

    def assign(self, child_slot: ChildSlot, child: Child) -> Child | None:
        """That child stands there from now on. Returns who stood there before; it is one of the others now."""
        before, child_slot.child, child_slot.restart_at = child_slot.child, child, None
        self.unassigned.remove(child)
        if before is not None:
            self.unassigned.append(before)
        return before

    def detach(self, child: Child) -> None:
        """It is none of ours any more, and will not be ended with us. Its line stays."""
        self.unassigned.remove(child)
        self._detached = child

    def start_due_restarts(self, now: float) -> None:
        """Start the successors whose time has come."""
        for child_slot in self.child_slots:
            if child_slot.restart_at is not None and now >= child_slot.restart_at:
                try:
                    self.fork_into_slot(child_slot)
                except OSError as error:
                    delay_s = child_slot.schedule_restart(now, 0.0)
                    log.error("cannot start %s: %s; next attempt in %gs", child_slot.name, error.strerror or error, delay_s)

    def cancel_restarts(self) -> None:
        """Forget the successors that were to come."""
        for child_slot in self.child_slots:
            child_slot.restart_at = None

    def receive(self, child: Child) -> tuple[bool, list[Message], bool]:
        """Take in what a child says: whether it has just become ready, what else, and whether more can come."""
        before = child.state
        messages, is_open = child.receive()
        if not is_open:
            self._unregister_pipe(child)
        return child.state is ChildState.READY and before is ChildState.STARTING, messages, is_open

    def reap_exited(self) -> Iterator[ChildExit]:
        """Whoever has ended since the last call."""
        if self._detached is not None and self._detached.reap() is not None:
            self._detached = None
        child_slots = {child_slot.child: child_slot for child_slot in self.child_slots if child_slot.child is not None}
        for child in self.live_children:
            life = child.state
            status = child.reap()
            if status is None:
                continue
            messages, _ = child.receive()
            self._unregister_pipe(child)
            child.close_pipe()
            child_slot = child_slots.get(child)
            if child_slot is not None:
                child_slot.child = None
            else:
                self.unassigned.remove(child)
            description = f"{child.name} (pid {child.pid}) {describe_exit_status(status)}"
            if life is ChildState.STARTING:
                description = f"{child.name} could not start: {child.failure_reason or description}"
            yield ChildExit(child, child_slot, status, description, messages)

    def stop_gracefully(self, children: list[Child], limit_s: float) -> None:
        """Have them end what they do, each within `limit_s`."""
        for child in children:
            child.stop_gracefully(limit_s)

    def detach_workers(self) -> None:
        """They are none of ours any more: the end of the lifeline has them finish what they have, if they have anything."""
        for child_slot in self.workers:
            child_slot.child = None

    def kill_all(self) -> None:
        """End everybody at once and wait for them: no process is left behind."""
        for child in self.live_children:
            child.kill()
            os.waitpid(child.pid, 0)
            child.state = ChildState.EXITED
            self._unregister_pipe(child)
            child.close_pipe()
            self.clear_row(child)  # another instance may go on with the board

    def clear_row(self, child: Child) -> int:
        """It is gone, and with it what it held. Returns how many clients' connections that were."""
        return self._rows.release(child.row, child.pid) if child.row is not None else 0

    def clear_stale_rows(self) -> None:
        """Clear what dead workers of other instances have left on the board."""
        self._rows.clear_stale({child.row for child in self.live_children if child.row is not None})

    def _unregister_pipe(self, child: Child) -> None:
        if child.pipe_end is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.pipe_end)

    def _free_row(self, child_slot: ChildSlot) -> int:
        """The one that the last worker at that post had, if it can be: during an upgrade the others are for the newcomer."""
        taken = {child.row for child in self.live_children}
        if child_slot.row is not None and child_slot.row not in taken and self._rows.is_free(child_slot.row):
            return child_slot.row
        with contextlib.suppress(IndexError):
            for row in itertools.count():
                if row not in taken and self._rows.is_free(row):
                    return row
        raise OSError(errno.EAGAIN, f"all {row} rows of the board are taken, by workers that still finish what they have")
