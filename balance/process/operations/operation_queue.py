"""What the supervisor has begun that takes more than one turn, and what was ordered meanwhile: one after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from balance.admin.supervisor_orders import Order, Verdict
from balance.process.children.child import Child
from balance.process.ipc.pipe import Message
from balance.process.operations.operation import Operation

log = logging.getLogger("balance.process")

MAX_WAITING = 16  # orders
NEVER = float("inf")

Answer = Callable[[Verdict], None]


def nobody_waits(verdict: Verdict) -> None:
    """The answer to a signal: the log has said it."""


class OperationQueue:
    """An order is answered once, by the undertaking that it becomes or by the word that it will be none."""

    __slots__ = ("_begin", "_ended", "_operation", "_waiting")

    def __init__(self, begin: Callable[[Order, str, Answer], Operation], ended: Callable[[], object]) -> None:
        """`begin` makes an undertaking of an order, with who gave it and whom to answer; `ended` is called after each."""
        self._begin = begin
        self._ended = ended
        self._operation: Operation | None = None
        self._waiting: deque[tuple[Order, str, Answer]] = deque()

    @property
    def deadline(self) -> float:
        """When go_on() is due, on the monotonic clock."""
        return NEVER if self._operation is None else self._operation.deadline

    def add(self, order: Order, origin: str, answer: Answer, generation: int) -> None:
        """Do as ordered, after what was ordered before."""
        if len(self._waiting) >= MAX_WAITING:
            answer(Verdict(False, generation, problems=(f"{MAX_WAITING} orders are waiting already",)))
        elif answer is not nobody_waits or all(waiting[:2] != (order, origin) for waiting in self._waiting):
            self._waiting.append((order, origin, answer))  # a signal that came twice before it could be obeyed is one

    def go_on(self, now: float, *, may_begin: bool) -> None:
        """With what is begun, or begin what waits."""
        while True:
            operation = self._operation
            if operation is not None and not operation.is_over and now >= operation.deadline:
                self._guarded(operation.expired, now)
            if operation is not None:
                if not operation.is_over:
                    return
                self._operation = None
                self._ended()
            if not self._waiting or not may_begin:
                return
            self._operation = self._begin(*self._waiting.popleft())
            self._guarded(self._operation.begin, now)

    def heard(self, child: Child, message: Message, now: float) -> bool:
        """A child has said something. False when nothing is under way that it could be about."""
        if self._operation is None:
            return False
        self._guarded(self._operation.heard, child, message, now)
        return True

    def became_ready(self, child: Child, now: float) -> None:
        if self._operation is not None:
            self._guarded(self._operation.became_ready, child, now)

    def departed(self, child: Child, words: str, now: float) -> None:
        if self._operation is not None:
            self._guarded(self._operation.departed, child, words, now)

    def let_go(self) -> None:
        """In a child that is born meanwhile: close what is not for it."""
        if self._operation is not None:
            self._operation.let_go()

    def give_up(self, why: str, generation: int) -> None:
        """Whatever was ordered will not be done."""
        if self._operation is not None and not self._operation.is_over:
            self._guarded(self._operation.give_up, why)
        while self._waiting:
            self._waiting.popleft()[2](Verdict(False, generation, problems=(why,)))

    def _guarded(self, step: Callable[..., object], *args: object) -> None:
        """A bug in an undertaking ends the undertaking, and not the instance."""
        operation = self._operation
        assert operation is not None
        try:
            step(*args)
        except Exception as error:
            words = f"a bug: {type(error).__name__}: {error}"
            log.exception("%s in what was ordered; it is given up", words)
            try:
                operation.give_up(words)
            except Exception:
                log.exception("and cannot even be given up")
            if not operation.is_over:
                self._operation = None
                self._ended()
