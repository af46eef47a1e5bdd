"""A rolling restart: in each slot the new worker is ready before the old one drains."""

from __future__ import annotations

import logging
from collections.abc import Callable

from balance.admin.supervisor_orders import OrderResult
from balance.process.children.child import Child
from balance.process.children.child_slot import ChildSlot
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.pipe import Message

log = logging.getLogger("balance.process")

START_TIMEOUT_S = 30.0
NEVER = float("inf")


class RollingRestart:
    """One slot after the other, so that there are never fewer workers than before."""

    def __init__(self, supervisor_state: SupervisorState, origin: str, on_result: Callable[[OrderResult], None]) -> None:
        self.deadline = NEVER
        self.is_over = False
        self._supervisor_state = supervisor_state
        self._origin = origin
        self._on_result = on_result
        self._remaining: list[ChildSlot] = []
        self._new_worker: Child | None = None
        self._replaced = 0

    def start(self, now: float) -> None:
        log.info("replacing the workers one by one (%s)", self._origin)
        self._remaining = list(self._supervisor_state.process_table.workers)
        self._start_next(now)

    def _start_next(self, now: float) -> None:
        if not self._remaining:
            log.info("%d workers are replaced; the old ones finish what they have", self._replaced)
            self._complete(True, ())
            return
        self.deadline = now + START_TIMEOUT_S
        try:
            self._new_worker = self._supervisor_state.process_table.fork_for_slot(self._remaining[0])
        except OSError as error:
            self._fail(f"cannot start {self._remaining[0].name}: {error.strerror or error}")

    def on_message(self, child: Child, message: Message, now: float) -> None:
        """No message concerns a rolling restart."""

    def on_ready(self, child: Child, now: float) -> None:
        if child is not self._new_worker:
            return
        child_slot = self._remaining.pop(0)
        before = self._supervisor_state.process_table.assign(child_slot, child)
        self._new_worker = None
        self._replaced += 1
        if before is not None:
            log.info("%s: pid %d takes over, pid %d finishes what it has", child_slot.name, child.pid, before.pid)
            before.stop_gracefully(self._supervisor_state.context.config.restart_drain_s)
        self._start_next(now)

    def on_exit(self, child: Child, description: str, now: float) -> None:
        if child is self._new_worker:
            self._new_worker = None
            self._fail(description)

    def on_deadline(self, now: float) -> None:
        self._fail(f"{self._remaining[0].name}: the new one is not ready within {START_TIMEOUT_S:g}s")

    def after_fork_in_child(self) -> None:
        """It opens no descriptors."""

    def abort(self, why: str) -> None:
        self._fail(why)

    def _fail(self, why: str) -> None:
        if self.is_over:
            return
        if self._new_worker is not None:
            self._new_worker.kill()
            self._new_worker = None
        log.error("the restart is broken off after %d workers: %s", self._replaced, why)
        self._complete(False, (why,))

    def _complete(self, is_done: bool, problems: tuple[str, ...]) -> None:
        self.is_over = True
        self.deadline = NEVER
        summary = f"{self._replaced} worker{'s' * (self._replaced != 1)} replaced"
        self._on_result(OrderResult(is_done, self._supervisor_state.context.generation.number, (), problems, (), summary))
