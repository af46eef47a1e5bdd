"""Work that a peer makes dear is done in turns: some of it for each in a turn of the event loop, for TURN_S together.

So who sends what costs much for each byte, such as chunks of a byte, waits for his own kind. All others wait for TURN_S and
the rest of one turn at most, however many such peers there are.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from time import monotonic
from typing import Final, Protocol

TURN_S: Final = 0.0001  # a request has three to five turns of the event loop, and waits for this in each


class TurnTaker(Protocol):
    """Whoever has such work left."""

    def take_turn(self) -> None:
        """Do some of it; add() for the rest."""


class Turns:
    """Those of one worker that have work left, in the order in which they get their turns."""

    __slots__ = ("_is_due", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_due = False
        self._waiting: OrderedDict[TurnTaker, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, taker: TurnTaker) -> None:
        """It gets one turn, after those that wait already."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._go_round)
        self._waiting[taker] = None

    def _go_round(self) -> None:
        end = monotonic() + TURN_S
        while self._waiting:
            taker, _ = self._waiting.popitem(last=False)
            try:
                taker.take_turn()
            except Exception as error:
                self._loop.call_exception_handler({"message": "a turn failed", "exception": error})
            if monotonic() >= end:
                break
        self._is_due = bool(self._waiting)
        if self._is_due:
            self._loop.call_soon(self._go_round)
