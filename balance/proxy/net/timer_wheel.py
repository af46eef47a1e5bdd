"""One timer for all connections of a worker, where moving a deadline is an assignment.

`call_later` and `cancel` cost 0.7 us on uvloop, and a request moves its deadline four times. Here an item is in the bucket of
the time at which it must be looked at again, at most HORIZON_S ahead, and has its real deadline in an attribute. Moving a
deadline later costs nothing; moving it before the bucket's time needs watch().
"""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from typing import Final

from balance.mypyc_attr import mypyc_attr

log: Final = logging.getLogger("balance.wheel")

TICK_S: Final = 0.05  # precision of deadlines
HORIZON_S: Final = 5.0

NEVER: Final = math.inf


@mypyc_attr(allow_interpreted_subclasses=True)
class Timed:
    """Has a deadline, in seconds of the monotonic clock; NEVER for none. Only the wheel sets `looked_at`."""

    __slots__ = ("deadline", "looked_at")

    def __init__(self) -> None:
        self.deadline = NEVER
        self.looked_at = NEVER  # when the item's bucket is due; NEVER when it is in none

    @abstractmethod
    def expire(self, now: float) -> None:
        """The deadline has passed. Set a new one, or this is called again at the next tick."""

    @abstractmethod
    def give_up(self) -> None:
        """expire() has raised, which is a bug. Close everything, so that nothing leaks."""


class TimerWheel:
    """Buckets by tick. forget() removes an item at once, so short connections leave nothing behind."""

    __slots__ = ("_buckets", "_turned")

    def __init__(self, now: float) -> None:
        self._buckets: dict[int, set[Timed]] = {}
        self._turned = int(now / TICK_S)

    def watch(self, item: Timed, now: float) -> None:
        """Have `item` looked at by its deadline. Call this when `deadline < looked_at`."""
        by, horizon = item.deadline, now + HORIZON_S
        tick = int((by if by < horizon else horizon) / TICK_S) + 1
        if tick <= self._turned:
            tick = self._turned + 1
        if item.looked_at != NEVER:
            self.forget(item)
        item.looked_at = tick * TICK_S
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {item}
        else:
            bucket.add(item)

    def forget(self, item: Timed) -> None:
        """Take `item` out of its bucket, if it is in one."""
        if item.looked_at != NEVER:
            bucket = self._buckets.get(round(item.looked_at / TICK_S))
            if bucket is not None:
                bucket.discard(item)
            item.looked_at = NEVER

    def turn(self, now: float) -> None:
        """Expire all items whose deadline has passed at `now`."""
        last = int(now / TICK_S)
        while self._turned < last:
            self._turned += 1
            for item in self._buckets.pop(self._turned, ()):
                item.looked_at = NEVER
                if item.deadline <= now:
                    try:
                        item.expire(now)
                    except Exception as error:  # the timeouts of all other connections go on
                        log.exception("a timeout crashed: %s: %s", type(error).__name__, error)
                        item.deadline = NEVER
                        item.give_up()
                if item.looked_at == NEVER and item.deadline != NEVER:
                    self.watch(item, now)
