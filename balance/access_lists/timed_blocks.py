"""Addresses and networks that were blocked at run time, each until a moment or for ever.

A table per length of prefix: an address is looked up once for each length that is in use, and those are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from balance.access_lists.address_range import AddressRange, unmapped

FOR_EVER: Final = (1 << 64) - 1


class Network(NamedTuple):
    """An address or network that is blocked as one."""

    is_ipv6: bool
    first: int
    host_bits: int  # 0 for a single address


def network_of(entry: AddressRange) -> Network:
    """The range as a network. ValueError when it is none: a range like 192.0.2.1-192.0.2.5."""
    size = entry.last - entry.first + 1
    if size & size - 1 or entry.first % size:
        raise ValueError("is a range; write an address or a network, like 192.0.2.1 or 192.0.2.0/24")
    return Network(entry.is_ipv6, entry.first, size.bit_length() - 1)


class TimedBlocks:
    """The table. Times are numbers of one clock; the caller's."""

    __slots__ = ("_until_by_bits",)

    def __init__(self) -> None:
        # For 4 and for 6: by number of host bits, the end of each block by the address without those bits.
        self._until_by_bits: tuple[dict[int, dict[int, int]], dict[int, dict[int, int]]] = ({}, {})

    def __bool__(self) -> bool:
        return bool(self._until_by_bits[0] or self._until_by_bits[1])

    def block(self, network: Network, until: int) -> None:
        """Block it until then; an earlier end of the same network is replaced."""
        table = self._until_by_bits[network.is_ipv6].setdefault(network.host_bits, {})
        table[network.first >> network.host_bits] = until

    def unblock(self, network: Network) -> bool:
        """End the block of exactly this network. Whether there was one."""
        tables = self._until_by_bits[network.is_ipv6]
        table = tables.get(network.host_bits)
        if table is None or table.pop(network.first >> network.host_bits, None) is None:
            return False
        if not table:
            del tables[network.host_bits]
        return True

    def clear(self) -> None:
        self._until_by_bits = ({}, {})

    def has(self, packed: bytes, now: int) -> bool:
        """Whether the address is blocked now."""
        packed = unmapped(packed)
        number = int.from_bytes(packed, "big")
        for bits, table in self._until_by_bits[len(packed) == 16].items():  # noqa: SIM110  # a generator costs 0.3 us
            if table.get(number >> bits, 0) > now:
                return True
        return False

    def __iter__(self) -> Iterator[tuple[Network, int]]:
        """Every network and its end, those that are over too."""
        for is_ipv6, tables in enumerate(self._until_by_bits):
            for bits, table in tables.items():
                for first, until in table.items():
                    yield Network(bool(is_ipv6), first << bits, bits), until
