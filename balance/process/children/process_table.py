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

from balance.process.children.child import Child, ChildState, Report, how_it_ended
from balance.process.children.child_slot import ChildSlot
from balance.process.ipc.pipe import Message
from balance.process.shared_memory.row_ownership import RowOwnership

log = logging.getLogger("balance.process")

NEVER = float("inf")

Body = Callable[[Child, Report], int]


class Departure(NamedTuple):
    """One child that has ended, and the words for it."""

    child: Child
    child_slot: ChildSlot | None  # that is vacant now
    status: int  # as wait() gave it
    words: str
    messages: list[Message]  # its last


class ProcessTable:
    """Children are born with start(). Their lines are registered with `selector`, each with its Child as data."""

    def __init__(
        self,
        workers: int,
        be_worker: Body,
        be_control: Body,
        selector: selectors.BaseSelector,
        rows: RowOwnership,
        inodes: Callable[[int | None], frozenset[int]],
        let_go: Callable[[str], None],
    ) -> None:
        """Nobody is started yet. `rows` says which are nobody else's.

        `inodes` are of the listening sockets that a worker of that slot (None: control) is born with. `let_go` is what every
        child does first, given its name.
        """
        self._bodies = {"worker": be_worker, "control": be_control}
        self.workers: list[ChildSlot] = []
        self.control = ChildSlot("control", None)
        self.others: list[Child] = []  # who leave, who are to take over, and who help for a moment
        self._disowned: Child | None = None
        self._rows = rows
        self._inodes = inodes
        self._let_go = let_go
        self._selector = selector
        self.set_workers(workers)

    @property
    def child_slots(self) -> list[ChildSlot]:
        return [*self.workers, self.control]

    @property
    def everyone(self) -> list[Child]:
        """Every living child."""
        found = [child_slot.child for child_slot in self.child_slots if child_slot.child is not None] + self.others
        return [child for child in found if child.life is not ChildState.GONE]

    @property
    def is_ready(self) -> bool:
        """Whether at every post stands somebody who has reported that it does its work."""
        return all(child_slot.is_ready for child_slot in self.child_slots)

    @property
    def unready(self) -> str:
        """The names of the posts where nobody does."""
        return ", ".join(child_slot.name for child_slot in self.child_slots if not child_slot.is_ready)

    @property
    def worker_children(self) -> list[Child]:
        """Every living worker, those who leave included."""
        return [child for child in self.everyone if child.slot is not None]

    @property
    def next_start(self) -> float:
        """When somebody is to be started again, on the monotonic clock; infinity when nobody is."""
        return min(
            (child_slot.restart_at for child_slot in self.child_slots if child_slot.restart_at is not None), default=NEVER
        )

    def set_workers(self, count: int) -> list[Child]:
        """There are so many posts for workers from now on. Returns who has lost its own; each is to be told to finish."""
        while len(self.workers) < count:
            slot = len(self.workers)
            self.workers.append(ChildSlot(f"worker {slot}", slot))
        lost = [child_slot.child for child_slot in self.workers[count:] if child_slot.child is not None]
        del self.workers[count:]
        self.others += lost
        return lost

    def born(self, child_slot: ChildSlot) -> Child:
        """Fork a child for that post; it does not stand there yet. OSError when there is no room for another process, or no row
        of the board left to a worker."""
        if child_slot.slot is None:
            return self._forked(Child(child_slot.name))
        with self._rows.held() as is_held:
            if not is_held:
                raise OSError(errno.EAGAIN, "another instance is busy with the rows of the board")
            row = child_slot.row = self._free_row(child_slot)
            child = self._forked(Child(child_slot.name, child_slot.slot, row))
            self._rows.take(row, child.pid)
        return child

    def _forked(self, child: Child) -> Child:
        child.inodes = self._inodes(child.slot)
        body = self._bodies["control" if child.slot is None else "worker"]
        self.launch(child, lambda report: body(child, report))
        return child

    def launch(self, child: Child, body: Callable[[Report], int]) -> None:
        """Fork it; it is one of the others until somebody gives it a post."""

        def begin(report: Report) -> int:
            self._let_go(child.name)
            for each in self.everyone:
                each.hang_up()  # the supervisor's ends
            return body(report)

        child.start(time.monotonic(), begin)
        assert child.end is not None
        self._selector.register(child.end, selectors.EVENT_READ, child)
        self.others.append(child)

    def fill(self, child_slot: ChildSlot) -> Child:
        """Fork a child that stands at that post from now on."""
        child = self.born(child_slot)
        self.place(child_slot, child)
        return child

    def place(self, child_slot: ChildSlot, child: Child) -> Child | None:
        """That child stands there from now on. Returns who stood there before; it is one of the others now."""
        before, child_slot.child, child_slot.restart_at = child_slot.child, child, None
        self.others.remove(child)
        if before is not None:
            self.others.append(before)
        return before

    def disown(self, child: Child) -> None:
        """It is none of ours any more, and will not be ended with us. Its line stays."""
        self.others.remove(child)
        self._disowned = child

    def start_due(self, now: float) -> None:
        """Start the successors whose time has come."""
        for child_slot in self.child_slots:
            if child_slot.restart_at is not None and now >= child_slot.restart_at:
                try:
                    self.fill(child_slot)
                except OSError as error:
                    delay_s = child_slot.schedule_restart(now, 0.0)
                    log.error("cannot start %s: %s; next attempt in %gs", child_slot.name, error.strerror or error, delay_s)

    def start_nobody(self) -> None:
        """Forget the successors that were to come."""
        for child_slot in self.child_slots:
            child_slot.restart_at = None

    def hear(self, child: Child) -> tuple[bool, list[Message], bool]:
        """Take in what a child says: whether it has just become ready, what else, and whether more can come."""
        before = child.life
        messages, is_open = child.listen()
        if not is_open:
            self._forget_line(child)
        return child.life is ChildState.READY and before is ChildState.STARTING, messages, is_open

    def departures(self) -> Iterator[Departure]:
        """Whoever has ended since the last call."""
        if self._disowned is not None and self._disowned.reap() is not None:
            self._disowned = None
        child_slots = {child_slot.child: child_slot for child_slot in self.child_slots if child_slot.child is not None}
        for child in self.everyone:
            life = child.life
            status = child.reap()
            if status is None:
                continue
            messages, _ = child.listen()
            self._forget_line(child)
            child.hang_up()
            child_slot = child_slots.get(child)
            if child_slot is not None:
                child_slot.child = None
            else:
                self.others.remove(child)
            words = f"{child.name} (pid {child.pid}) {how_it_ended(status)}"
            if life is ChildState.STARTING:
                words = f"{child.name} could not start: {child.complaint or words}"
            yield Departure(child, child_slot, status, words, messages)

    def finish(self, children: list[Child], limit_s: float) -> None:
        """Have them end what they do, each within `limit_s`."""
        for child in children:
            child.finish(limit_s)

    def spare_workers(self) -> None:
        """They are none of ours any more: the end of the lifeline has them finish what they have, if they have anything."""
        for child_slot in self.workers:
            child_slot.child = None

    def kill(self) -> None:
        """End everybody at once and wait for them: no process is left behind."""
        for child in self.everyone:
            child.kill()
            os.waitpid(child.pid, 0)
            child.life = ChildState.GONE
            self._forget_line(child)
            child.hang_up()
            self.clear_row(child)  # another instance may go on with the board

    def clear_row(self, child: Child) -> int:
        """It is gone, and with it what it held. Returns how many clients' connections that were."""
        return self._rows.clear(child.row, child.pid) if child.row is not None else 0

    def sweep_rows(self) -> None:
        """Clear what dead workers of other instances have left on the board."""
        self._rows.sweep({child.row for child in self.everyone if child.row is not None})

    def _forget_line(self, child: Child) -> None:
        if child.end is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.end)

    def _free_row(self, child_slot: ChildSlot) -> int:
        """The one that the last worker at that post had, if it can be: during an upgrade the others are for the newcomer."""
        taken = {child.row for child in self.everyone}
        if child_slot.row is not None and child_slot.row not in taken and self._rows.is_free(child_slot.row):
            return child_slot.row
        with contextlib.suppress(IndexError):
            for row in itertools.count():
                if row not in taken and self._rows.is_free(row):
                    return row
        raise OSError(errno.EAGAIN, f"all {row} rows of the board are taken, by workers that still finish what they have")
