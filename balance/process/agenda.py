"""What the supervisor has begun that takes more than one turn, and what was ordered meanwhile: one after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from balance.process.child import Child
from balance.process.line import Message
from balance.process.undertaking import Undertaking
from balance.side.steering import Order, Verdict

log = logging.getLogger("balance.process")

MAX_WAITING = 16  # orders
NEVER = float("inf")

Answer = Callable[[Verdict], None]


def nobody_waits(verdict: Verdict) -> None:
    """The answer to a signal: the log has said it."""


class Agenda:
    """An order is answered once, by the undertaking that it becomes or by the word that it will be none."""

    __slots__ = ("_begin", "_ended", "_undertaking", "_waiting")

    def __init__(self, begin: Callable[[Order, str, Answer], Undertaking], ended: Callable[[], object]) -> None:
        """`begin` makes an undertaking of an order, with who gave it and whom to answer; `ended` is called after each."""
        self._begin = begin
        self._ended = ended
        self._undertaking: Undertaking | None = None
        self._waiting: deque[tuple[Order, str, Answer]] = deque()

    @property
    def deadline(self) -> float:
        """When go_on() is due, on the monotonic clock."""
        return NEVER if self._undertaking is None else self._undertaking.deadline

    def add(self, order: Order, origin: str, answer: Answer, generation: int) -> None:
        """Do as ordered, after what was ordered before."""
        if len(self._waiting) >= MAX_WAITING:
            answer(Verdict(False, generation, problems=(f"{MAX_WAITING} orders are waiting already",)))
        elif answer is not nobody_waits or all(waiting[:2] != (order, origin) for waiting in self._waiting):
            self._waiting.append((order, origin, answer))  # a signal that came twice before it could be obeyed is one

    def go_on(self, now: float, *, may_begin: bool) -> None:
        """With what is begun, or begin what waits."""
        while True:
            undertaking = self._undertaking
            if undertaking is not None and not undertaking.is_over and now >= undertaking.deadline:
                self._guarded(undertaking.expired, now)
            if undertaking is not None:
                if not undertaking.is_over:
                    return
                self._undertaking = None
                self._ended()
            if not self._waiting or not may_begin:
                return
            self._undertaking = self._begin(*self._waiting.popleft())
            self._guarded(self._undertaking.begin, now)

    def heard(self, child: Child, message: Message, now: float) -> bool:
        """A child has said something. False when nothing is under way that it could be about."""
        if self._undertaking is None:
            return False
        self._guarded(self._undertaking.heard, child, message, now)
        return True

    def became_ready(self, child: Child, now: float) -> None:
        if self._undertaking is not None:
            self._guarded(self._undertaking.became_ready, child, now)

    def departed(self, child: Child, words: str, now: float) -> None:
        if self._undertaking is not None:
            self._guarded(self._undertaking.departed, child, words, now)

    def let_go(self) -> None:
        """In a child that is born meanwhile: close what is not for it."""
        if self._undertaking is not None:
            self._undertaking.let_go()

    def give_up(self, why: str, generation: int) -> None:
        """Whatever was ordered will not be done."""
        if self._undertaking is not None and not self._undertaking.is_over:
            self._guarded(self._undertaking.give_up, why)
        while self._waiting:
            self._waiting.popleft()[2](Verdict(False, generation, problems=(why,)))

    def _guarded(self, step: Callable[..., object], *args: object) -> None:
        """A bug in an undertaking ends the undertaking, and not the instance."""
        undertaking = self._undertaking
        assert undertaking is not None
        try:
            step(*args)
        except Exception as error:
            words = f"a bug: {type(error).__name__}: {error}"
            log.exception("%s in what was ordered; it is given up", words)
            try:
                undertaking.give_up(words)
            except Exception:
                log.exception("and cannot even be given up")
            if not undertaking.is_over:
                self._undertaking = None
                self._ended()
