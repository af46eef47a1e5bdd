"""How often a client may present a token that is wrong: ten at once, then one a second (a token bucket, as GCRA).

Whoever has used that up is refused without a look at his token, for a second at most after his last guess; a right token takes
nothing. So guessing costs time, a mistake of one's own costs a second, and who comes from another address is not held up. A
client's address is all of its /64 in IPv6. Nothing waits, and the memory is bounded: the address that guessed least recently is
forgotten.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

BURST = 10
INTERVAL_S = 1.0
MAX_ADDRESSES = 4096


class GuessLimit:
    """The wrong tokens of each address."""

    __slots__ = ("_paid_at",)

    def __init__(self) -> None:
        self._paid_at: OrderedDict[str, float] = OrderedDict()  # when all guesses of an address will be paid for

    def wait_s(self, address: str, now: float) -> float:
        """How long until a token of that address is looked at; 0.0: at once. `now` is monotonic."""
        return max(self._paid_at.get(address, 0.0) - now - (BURST - 1) * INTERVAL_S, 0.0)

    def count(self, address: str, now: float) -> None:
        """A token was wrong."""
        self._paid_at[address] = max(self._paid_at.get(address, 0.0), now) + INTERVAL_S
        self._paid_at.move_to_end(address)
        if len(self._paid_at) > MAX_ADDRESSES:
            self._paid_at.popitem(last=False)


def limited_address(host: str) -> str:
    """What is counted for a client's address: itself, or its /64."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)
