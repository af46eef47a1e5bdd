"""The process table: which child fills which slot, which are draining, which have exited.

Decides no policy: the supervisor says whether exited children are restarted.
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
    """One child that has exited."""

    child: Child
    child_slot: ChildSlot | None  # the slot it filled, empty now
    status: int  # wait status
    description: str
    messages: list[Message]  # read after its exit


class ProcessTable:
    """Forks and reaps children. Each pipe is registered with `selector`, with its Child as data."""

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
        """Nothing is forked yet. `inodes` returns the listening sockets that a worker (None: control) inherits;
        `after_fork_in_child` is called first in every child, with its name.
        """
        self._main_functions = {"worker": worker_main, "control": control_main}
        self.workers: list[ChildSlot] = []
        self.control = ChildSlot("control", None)
        self.unassigned: list[Child] = []  # draining, about to take over, or short-lived helpers
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
        """Every child that has not exited."""
        found = [child_slot.child for child_slot in self.child_slots if child_slot.child is not None] + self.unassigned
        return [child for child in found if child.state is not ChildState.EXITED]

    @property
    def is_ready(self) -> bool:
        """Whether every slot has a ready child."""
        return all(child_slot.is_ready for child_slot in self.child_slots)

    @property
    def unready_names(self) -> str:
        """The names of the slots without a ready child."""
        return ", ".join(child_slot.name for child_slot in self.child_slots if not child_slot.is_ready)

    @property
    def live_workers(self) -> list[Child]:
        """Every live worker, draining ones included."""
        return [child for child in self.live_children if child.worker_number is not None]

    @property
    def next_restart(self) -> float:
        """When the next child is to be restarted, on the monotonic clock; infinity when none is."""
        return min(
            (child_slot.restart_at for child_slot in self.child_slots if child_slot.restart_at is not None), default=NEVER
        )

    def set_worker_count(self, count: int) -> list[Child]:
        """Change the number of worker slots. Returns the workers that lost their slot; the caller stops them."""
        while len(self.workers) < count:
            worker_number = len(self.workers)
            self.workers.append(ChildSlot(f"worker {worker_number}", worker_number))
        lost = [child_slot.child for child_slot in self.workers[count:] if child_slot.child is not None]
        del self.workers[count:]
        self.unassigned += lost
        return lost

    def fork_for_slot(self, child_slot: ChildSlot) -> Child:
        """Fork a child that is meant for the slot but not assigned to it yet. OSError without a process or a free row."""
        if child_slot.worker_number is None:
            return self._fork_and_run(Child(child_slot.name, is_trusted=False))
        with self._rows.locked() as is_locked:
            if not is_locked:
                raise OSError(errno.EAGAIN, "another instance is busy with the rows of the board")
            row = child_slot.row = self._free_row(child_slot)
            child = self._fork_and_run(Child(child_slot.name, child_slot.worker_number, row, is_trusted=False))
            self._rows.claim(row, child.pid)
        return child

    def _fork_and_run(self, child: Child) -> Child:
        child.inodes = self._inodes(child.worker_number)
        main = self._main_functions["control" if child.worker_number is None else "worker"]
        self.fork_child(child, lambda supervisor_pipe: main(child, supervisor_pipe))
        return child

    def fork_child(self, child: Child, main: Callable[[SupervisorPipe], int]) -> None:
        """Fork any child; it is in `unassigned` until assign()."""

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
        """Fork a child and assign it to the slot."""
        child = self.fork_for_slot(child_slot)
        self.assign(child_slot, child)
        return child

    def assign(self, child_slot: ChildSlot, child: Child) -> Child | None:
        """Put the child into the slot. Returns the one it replaces, which is in `unassigned` from now on."""
        before, child_slot.child, child_slot.restart_at = child_slot.child, child, None
        self.unassigned.remove(child)
        if before is not None:
            self.unassigned.append(before)
        return before

    def detach(self, child: Child) -> None:
        """The child is a successor instance: it is reaped, but not stopped with this instance."""
        self.unassigned.remove(child)
        self._detached = child

    def start_due_restarts(self, now: float) -> None:
        """Fork the children whose restart is due."""
        for child_slot in self.child_slots:
            if child_slot.restart_at is not None and now >= child_slot.restart_at:
                try:
                    self.fork_into_slot(child_slot)
                except OSError as error:
                    delay_s = child_slot.schedule_restart(now, 0.0)
                    log.error("cannot start %s: %s; next attempt in %gs", child_slot.name, error.strerror or error, delay_s)

    def cancel_restarts(self) -> None:
        """Restart no child any more."""
        for child_slot in self.child_slots:
            child_slot.restart_at = None

    def receive(self, child: Child) -> tuple[bool, list[Message], bool]:
        """Read a child's pipe: whether it has just become ready, its other messages, and whether the pipe is open."""
        before = child.state
        messages, is_open = child.receive()
        if not is_open:
            self._unregister_pipe(child)
        return child.state is ChildState.READY and before is ChildState.STARTING, messages, is_open

    def reap_exited(self) -> Iterator[ChildExit]:
        """Reap the children that have exited since the last call."""
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
        if os.getpid() == 1:
            self._reap_strangers()

    def _reap_strangers(self) -> None:
        """As process 1 of a container: what commands of health checks have left behind is ours in the end, and stays a zombie
        until it is reaped.
        """
        known = {child.pid for child in self.live_children}
        if self._detached is not None:
            known.add(self._detached.pid)
        while True:
            try:
                exited = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if exited is None or exited.si_pid in known:
                return  # one of ours is reaped at its own turn
            os.waitpid(exited.si_pid, os.WNOHANG)

    def stop_gracefully(self, children: list[Child], limit_s: float) -> None:
        """Tell these children to drain and exit, each within `limit_s`."""
        for child in children:
            child.stop_gracefully(limit_s)

    def detach_workers(self) -> None:
        """Leave the workers alone at the end: they drain by themselves when the liveness pipe closes."""
        for child_slot in self.workers:
            child_slot.child = None

    def kill_all(self) -> None:
        """SIGKILL every child and reap it."""
        for child in self.live_children:
            child.kill()
            os.waitpid(child.pid, 0)
            child.state = ChildState.EXITED
            self._unregister_pipe(child)
            child.close_pipe()
            self.clear_row(child)  # another instance may use the same shared memory

    def clear_row(self, child: Child) -> int:
        """Zero the gauges of an exited worker. Returns how many client connections it held."""
        return self._rows.release(child.row, child.pid) if child.row is not None else 0

    def clear_stale_rows(self) -> None:
        """Zero the gauges of dead workers of other instances."""
        self._rows.clear_stale({child.row for child in self.live_children if child.row is not None})

    def _unregister_pipe(self, child: Child) -> None:
        if child.pipe_end is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.pipe_end)

    def _free_row(self, child_slot: ChildSlot) -> int:
        """The slot's last row if it is free, else the first free one: during an upgrade two instances share the rows."""
        taken = {child.row for child in self.live_children}
        if child_slot.row is not None and child_slot.row not in taken and self._rows.is_free(child_slot.row):
            return child_slot.row
        with contextlib.suppress(IndexError):
            for row in itertools.count():
                if row not in taken and self._rows.is_free(row):
                    return row
        raise OSError(errno.EAGAIN, f"all {row} rows of the board are taken, by workers that still finish what they have")
