"""Whether backends get their due: Jain's index over requests divided by weights, of about the last minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

WINDOW_S = 60.0
STEP_S = 5.0  # between what is remembered, so that any number of scrapers makes no more


def jain(shares: Sequence[float]) -> float:
    """1 when all are equal, 1/n when one of n has all; 1 when there is nothing to share."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


class RecentRequests:
    """Requests by slot, since about a minute ago; since the start where that is later."""

    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past: deque[tuple[float, list[int]]] = deque()

    def since_then(self, now: float, counted: list[int]) -> list[int]:
        """What was added to `counted`; a slot that counts anew has what it counts now."""
        past = self._past
        while len(past) > 1 and past[1][0] <= now - WINDOW_S:
            past.popleft()
        before = past[0][1] if past else []
        if not past or now - past[-1][0] >= STEP_S:
            past.append((now, counted))
        return [
            now_counted - then if now_counted >= then else now_counted
            for now_counted, then in zip(counted, before + [0] * (len(counted) - len(before)), strict=False)
        ]
