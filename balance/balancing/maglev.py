"""maglev: hashing with Maglev's lookup table (Eisenbud et al., NSDI 2016, section 3.4)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import cycle
from typing import Final

from balance.balancing.hash_table import HashTable, WeightedIds

TABLE_SIZE: Final = 65_537  # the paper's: a prime, with more than 100 entries for each of 650 backends


class Maglev(HashTable):
    """Shares are within 1 % of the weights up to 100 backends; a removal moves at most 1 % of the other keys."""

    __slots__ = ()

    def build(self, membership: WeightedIds) -> None:
        self._owners = build_table(membership)

    def slot_of(self, position: int) -> int:
        return position % TABLE_SIZE


@lru_cache(maxsize=8)  # a reload that does not change a pool's backends reuses the table
def build_table(membership: WeightedIds) -> Sequence[int]:
    """The owner of each entry: backends claim entries in turns, each along its own permutation (offset and skip).

    The turns are in the order of the identities, so that the order in the file does not matter.
    """
    members = sorted(range(len(membership)), key=membership.__getitem__)
    skips, positions = [0] * len(members), [0] * len(members)
    for member, (identity, _) in enumerate(membership):
        digest = blake2b(identity, digest_size=16).digest()
        positions[member] = int.from_bytes(digest[:8], "little") % TABLE_SIZE
        skips[member] = int.from_bytes(digest[8:], "little") % (TABLE_SIZE - 1) + 1
    owners = array("i", [-1]) * TABLE_SIZE
    free = TABLE_SIZE
    for member in turn_order(members, [weight for _, weight in membership]):
        position, skip = positions[member], skips[member]
        while owners[position] >= 0:
            position += skip
            if position >= TABLE_SIZE:
                position -= TABLE_SIZE
        owners[position] = member
        positions[member] = position
        free -= 1
        if not free:
            break
    return owners


def turn_order(members: Sequence[int], weights: Sequence[int]) -> Iterable[int]:
    """The backend of each turn, at least TABLE_SIZE of them: round-robin, or by evenly spaced deadlines for unequal weights."""
    if min(weights) == max(weights):
        return cycle(members)
    total = sum(weights)
    order: list[int] = []
    deadlines: list[float] = []
    for member in members:
        gap = total / weights[member]
        claims = int(TABLE_SIZE / gap) + 2
        order += [member] * claims
        deadlines += [(turn + 0.5) * gap for turn in range(claims)]
    return [order[claim] for claim in sorted(range(len(order)), key=deadlines.__getitem__)]
