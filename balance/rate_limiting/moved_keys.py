"""The keys that were used since other machines were told of it: what one worker has admitted, until a batch takes it along."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from balance.rate_limiting.key_slots import short_key

if TYPE_CHECKING:
    from balance.rate_limiting.limiter import SharedLimiter

MAX_MOVED: Final = 20_000  # keys; those beyond are known on this machine alone

Moved = tuple["SharedLimiter", bytes, int]  # the limit, its key, and how many were admitted


def _nobody_listens() -> None:
    pass


class MovedKeys:
    """Of one worker, for all limits that several machines share."""

    __slots__ = ("_counts", "is_open", "is_refusing", "lost", "wake")

    def __init__(self) -> None:
        self._counts: dict[tuple[SharedLimiter, bytes], int] = {}
        self.is_open = False  # somebody takes them along
        self.wake: Callable[[], None] = _nobody_listens  # called when there are keys, and there were none
        self.is_refusing = False  # nobody can say what other machines have admitted, and then nobody is to be admitted
        self.lost = 0  # admitted requests that no other machine will hear of

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, limiter: SharedLimiter, key: bytes, count: int = 1) -> None:
        """So many were admitted."""
        if not self.is_open:
            return
        counts = self._counts
        place = limiter, short_key(key)
        known = counts.get(place)
        if known is not None:
            counts[place] = known + count
            return
        if len(counts) >= MAX_MOVED:
            self.lost += count
            return
        counts[place] = count
        if len(counts) == 1:
            self.wake()

    def take(self, most: int) -> list[Moved]:
        """Those that have waited longest; they are no longer here."""
        counts = self._counts
        places = [place for place, _ in zip(counts, range(most), strict=False)]
        return [(limiter, key, counts.pop((limiter, key))) for limiter, key in places]
