"""A set of addresses, of any size: sorted ranges that do not touch, searched by bisection.

The ranges are in arrays of numbers, so that a set of 100,000 takes 0.8 MB (IPv6: 3.2 MB), is pickled at once, and its pages are
shared with the processes that are forked. A search needs no memory and less than 1 us (benchmarks/micro).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from balance.access_lists.address_range import AddressRange, unmapped

_LOW: Final = (1 << 64) - 1


class AddressSet:
    """Immutable; equal when it has the same addresses."""

    __slots__ = ("_digest", "_first", "_first_high", "_first_low", "_last", "_last_high", "_last_low")

    def __init__(self, ranges: Iterable[AddressRange] = ()) -> None:
        listed = list(ranges)
        four = _merged([(each.first, each.last) for each in listed if not each.is_ipv6])
        six = _merged([(each.first, each.last) for each in listed if each.is_ipv6])
        self._first = array("I", [first for first, _ in four])
        self._last = array("I", [last for _, last in four])
        # No array has items of 128 bits: the upper and the lower half of each.
        self._first_high = array("Q", [first >> 64 for first, _ in six])
        self._first_low = array("Q", [first & _LOW for first, _ in six])
        self._last_high = array("Q", [last >> 64 for _, last in six])
        self._last_low = array("Q", [last & _LOW for _, last in six])
        digest = blake2b(digest_size=16)  # a reload compares lists, and must not go through all entries of each
        for part in (self._first, self._last, self._first_high, self._first_low, self._last_high, self._last_low):
            digest.update(b"%d:" % len(part) + part.tobytes())
        self._digest = digest.digest()

    def __len__(self) -> int:
        """The number of ranges, those that touch taken together."""
        return len(self._first) + len(self._first_high)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AddressSet):
            return NotImplemented
        return self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return f"<{len(self)} ranges of addresses>"

    def has(self, packed: bytes) -> bool:
        """Whether the address is in the set. `packed`: 4 bytes, or 16, as inet_pton() returns them."""
        packed = unmapped(packed)
        number = int.from_bytes(packed, "big")
        if len(packed) == 4:
            index = bisect_right(self._first, number) - 1
            return index >= 0 and self._last[index] >= number
        high, low = number >> 64, number & _LOW
        index = bisect_right(self._first_high, high)
        if not index:
            return False
        if self._first_high[index - 1] == high:  # several may begin in the same upper half
            index = bisect_right(self._first_low, low, bisect_left(self._first_high, high, 0, index), index)
            if not index:
                return False
        index -= 1
        last_high = self._last_high[index]
        return last_high > high or (last_high == high and self._last_low[index] >= low)


def _merged(ranges: list[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Sorted, and those that overlap or touch as one."""
    ranges.sort()
    merged: list[tuple[int, int]] = []
    for first, last in ranges:
        if merged and first <= merged[-1][1] + 1:
            if last > merged[-1][1]:
                merged[-1] = merged[-1][0], last
        else:
            merged.append((first, last))
    return merged


NOBODY: Final = AddressSet()
