"""The same key to the same backend, by Maglev's table (Eisenbud et al., NSDI 2016, section 3.4): even, and quick to look up."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import cycle

from balance.balancing.table import Membership, Table

SIZE = 65_537  # the paper's: prime, and more than 100 places for each of 650 backends


class Maglev(Table):
    """Every share within 1 % of its due up to 100 backends; a removal moves its keys and 1 % of the others at most."""

    __slots__ = ()

    def lay(self, membership: Membership) -> None:
        self._owners = table(membership)

    def place(self, spot: int) -> int:
        return spot % SIZE


@lru_cache(maxsize=8)  # a reload that leaves a pool's members alone lays nothing
def table(membership: Membership) -> Sequence[int]:
    """Whose each place is: members claim places in turn, each in an order of its own.

    Members take turns in the order of their identities: how a file lists them changes nothing.
    """
    members = sorted(range(len(membership)), key=membership.__getitem__)
    steps, spots = [0] * len(members), [0] * len(members)
    for member, (identity, _) in enumerate(membership):
        digest = blake2b(identity, digest_size=16).digest()
        spots[member] = int.from_bytes(digest[:8], "little") % SIZE
        steps[member] = int.from_bytes(digest[8:], "little") % (SIZE - 1) + 1
    owners = array("i", [-1]) * SIZE
    left = SIZE
    for member in turns(members, [weight for _, weight in membership]):
        spot, step = spots[member], steps[member]
        while owners[spot] >= 0:
            spot += step
            if spot >= SIZE:
                spot -= SIZE
        owners[spot] = member
        spots[member] = spot
        left -= 1
        if not left:
            break
    return owners


def turns(members: Sequence[int], weights: Sequence[int]) -> Iterable[int]:
    """Who claims next, at least SIZE times: one after the other, or by evenly spaced deadlines where weights differ."""
    if min(weights) == max(weights):
        return cycle(members)
    total = sum(weights)
    order: list[int] = []
    deadlines: list[float] = []
    for member in members:
        gap = total / weights[member]
        claims = int(SIZE / gap) + 2
        order += [member] * claims
        deadlines += [(turn + 0.5) * gap for turn in range(claims)]
    return [order[claim] for claim in sorted(range(len(order)), key=deadlines.__getitem__)]
