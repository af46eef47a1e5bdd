"""A rolling restart: at each post a new worker is ready first, and then the old one drains."""

from __future__ import annotations

import logging
from collections.abc import Callable

from balance.admin.supervisor_orders import Verdict
from balance.process.children.child import Child
from balance.process.children.child_slot import ChildSlot
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.pipe import Message

log = logging.getLogger("balance.process")

START_S = 30.0
NEVER = float("inf")


class RollingRestart:
    """One post after the other, so that there are never fewer workers than before."""

    def __init__(self, supervisor_state: SupervisorState, origin: str, answer: Callable[[Verdict], None]) -> None:
        self.deadline = NEVER
        self.is_over = False
        self._supervisor_state = supervisor_state
        self._origin = origin
        self._answer = answer
        self._left: list[ChildSlot] = []
        self._newcomer: Child | None = None
        self._replaced = 0

    def begin(self, now: float) -> None:
        log.info("replacing the workers one by one (%s)", self._origin)
        self._left = list(self._supervisor_state.process_table.workers)
        self._next(now)

    def _next(self, now: float) -> None:
        if not self._left:
            log.info("%d workers are replaced; the old ones finish what they have", self._replaced)
            self._end(True, ())
            return
        self.deadline = now + START_S
        try:
            self._newcomer = self._supervisor_state.process_table.born(self._left[0])
        except OSError as error:
            self._fail(f"cannot start {self._left[0].name}: {error.strerror or error}")

    def heard(self, child: Child, message: Message, now: float) -> None:
        """Nothing is said that matters here."""

    def became_ready(self, child: Child, now: float) -> None:
        if child is not self._newcomer:
            return
        child_slot = self._left.pop(0)
        before = self._supervisor_state.process_table.place(child_slot, child)
        self._newcomer = None
        self._replaced += 1
        if before is not None:
            log.info("%s: pid %d takes over, pid %d finishes what it has", child_slot.name, child.pid, before.pid)
            before.finish(self._supervisor_state.context.config.restart_drain_s)
        self._next(now)

    def departed(self, child: Child, words: str, now: float) -> None:
        if child is self._newcomer:
            self._newcomer = None
            self._fail(words)

    def expired(self, now: float) -> None:
        self._fail(f"{self._left[0].name}: the new one is not ready within {START_S:g}s")

    def let_go(self) -> None:
        """Nothing is open that a child should not have."""

    def give_up(self, why: str) -> None:
        self._fail(why)

    def _fail(self, why: str) -> None:
        if self.is_over:
            return
        if self._newcomer is not None:
            self._newcomer.kill()
            self._newcomer = None
        log.error("the restart is broken off after %d workers: %s", self._replaced, why)
        self._end(False, (why,))

    def _end(self, is_done: bool, problems: tuple[str, ...]) -> None:
        self.is_over = True
        self.deadline = NEVER
        told = f"{self._replaced} worker{'s' * (self._replaced != 1)} replaced"
        self._answer(Verdict(is_done, self._supervisor_state.context.generation.number, (), problems, (), told))
