"""One timer for every connection of a worker. Moving a deadline is an assignment; only what is due is looked at.

`call_later` and `cancel` cost 0.7 us on uvloop, and a request moves its deadline four times. Here an item stands in the bucket
of a moment at which it must be looked at again, never more than HORIZON_S away, and carries its real deadline in an attribute.
A deadline that moves later costs nothing; one that moves before the bucket's moment needs watch().
"""

from __future__ import annotations

import logging
import math
from abc import abstractmethod

log = logging.getLogger("balance.wheel")

TICK_S = 0.05  # deadlines are kept to this
HORIZON_S = 5.0

NEVER = math.inf


class Timed:
    """Something with a deadline, in seconds of the monotonic clock; NEVER for none. `looked_at` belongs to the wheel."""

    __slots__ = ("deadline", "looked_at")

    def __init__(self) -> None:
        self.deadline = NEVER
        self.looked_at = NEVER  # when the bucket is due in which the item stands; NEVER: in none

    @abstractmethod
    def expire(self, now: float) -> None:
        """The deadline has passed. Set a new one or it will be asked again at the next look."""

    @abstractmethod
    def give_up(self) -> None:
        """A bug: expire() has raised. End without its help, so that nothing is held for ever."""


class TimerWheel:
    """Buckets by tick. Holds nothing that was forgotten: a million short connections leave nothing behind."""

    __slots__ = ("_buckets", "_turned")

    def __init__(self, now: float) -> None:
        self._buckets: dict[int, set[Timed]] = {}
        self._turned = int(now / TICK_S)

    def watch(self, item: Timed, now: float) -> None:
        """See to it that `item` is looked at by its deadline. Call it when `deadline < looked_at`."""
        tick = max(int(min(item.deadline, now + HORIZON_S) / TICK_S) + 1, self._turned + 1)
        if item.looked_at != NEVER:
            self.forget(item)
        item.looked_at = tick * TICK_S
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {item}
        else:
            bucket.add(item)

    def forget(self, item: Timed) -> None:
        """Take `item` out; harmless when it is in no bucket."""
        if item.looked_at != NEVER:
            bucket = self._buckets.get(round(item.looked_at / TICK_S))
            if bucket is not None:
                bucket.discard(item)
            item.looked_at = NEVER

    def turn(self, now: float) -> None:
        """Expire everything whose deadline has passed by `now`."""
        last = int(now / TICK_S)
        while self._turned < last:
            self._turned += 1
            for item in self._buckets.pop(self._turned, ()):
                item.looked_at = NEVER
                if item.deadline <= now:
                    try:
                        item.expire(now)
                    except Exception as error:  # every other connection's time goes on
                        log.exception("a timeout crashed: %s: %s", type(error).__name__, error)
                        item.deadline = NEVER
                        item.give_up()
                if item.looked_at == NEVER and item.deadline != NEVER:
                    self.watch(item, now)
