"""A user's side in a canary or a split: a place in [0, 100) by a stable hash, below or above thresholds.

The place of a user never changes while the salt stays; only the thresholds move. Raising a canary from 10 to 20 percent takes
in more users and moves nobody back; lowering it sends back those that came last. Thresholds of a split are cumulative in the
file's order: with two pools it is the same; with more, a change of weights moves the users beside the thresholds that it moves,
and no others. A pool that is added at the end takes its users from all: let it take its weight from its neighbour's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final
from zlib import crc32

from balance.balancing.hashing import SPACE, key_hash

_TO_PERCENT: Final = 100 / SPACE
_MAX_KNOWN: Final = 4096  # places, each with its key
_MAX_KNOWN_BYTES: Final = 64


class Places:
    """Places of one policy. `kind` and `salt` together make them independent of those of other policies.

    They are independent of the places that hashing algorithms look at, too: else the users of a canary, who are neighbours
    here, would all be neighbours of one backend there.
    """

    __slots__ = ("_known", "_seed")

    def __init__(self, kind: str, salt: str = "") -> None:
        self._seed: int = crc32(f"{kind}\0{salt}".encode())
        self._known: dict[bytes, float] = {}  # of keys that came lately: a look-up costs a third of the hash

    def of(self, key: bytes) -> float:
        """The place of the user with this key: in [0, 100), the same in every worker, after every restart, on every machine."""
        place = self._known.get(key)
        if place is None:
            place = key_hash(key, self._seed) * _TO_PERCENT
            if len(key) <= _MAX_KNOWN_BYTES:  # a client may make keys of any length
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[key] = place
        return place


def thresholds(weights: Sequence[int]) -> tuple[float, ...]:
    """Where the part of each ends, of 100; the last one that has a weight ends at 100. () when all weights are 0."""
    total = sum(weights)
    return tuple(part * 100 / total for part in accumulate(weights)) if total else ()


def side(ends: Sequence[float], place: float) -> int:
    """The index of the part in which the place lies. A part of weight 0 ends where it begins, so that nothing lies in it."""
    for index, end in enumerate(ends):
        if place < end:
            return index
    return len(ends) - 1
