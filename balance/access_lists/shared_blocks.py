"""What was blocked at run time, in shared memory: written by control, read by workers, and there as long as the instance.

Cells of 64 bits: how many changes were made, a journal of the entries that the last of them have changed, and the entries. A
reader that has missed more changes than the journal has reads all entries. Times are of the monotonic clock, in microseconds.
"""

from __future__ import annotations

from typing import Final

from balance.access_lists.timed_blocks import Network, TimedBlocks

ENTRIES: Final = 16_384
_JOURNAL: Final = 1024
_CHANGES: Final = 0
_JOURNAL_AT: Final = 8
_ENTRIES_AT: Final = _JOURNAL_AT + _JOURNAL
_ENTRY: Final = 4  # the end (0: free), the number of host bits and the family, the upper and the lower half of the address
CELLS: Final = _ENTRIES_AT + ENTRIES * _ENTRY

_IPV6: Final = 1 << 8
_LOW: Final = (1 << 64) - 1


class FullError(Exception):
    """There is no room for one more."""


def new_cells() -> memoryview:
    """Cells for a process that shares them with nobody."""
    return memoryview(bytearray(8 * CELLS)).cast("Q")


class SharedBlocks:
    """A reader. `blocks` is what it has read so far."""

    __slots__ = ("_cells", "_networks", "_read", "blocks")

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells
        self._read = 0  # changes that were read
        self._networks: dict[int, Network] = {}  # by entry
        self.blocks = TimedBlocks()
        self.refresh()

    def refresh(self) -> bool:
        """Read what has changed. Whether something has."""
        cells = self._cells
        changes = cells[_CHANGES]
        if changes == self._read:
            return False
        missed, self._read = changes - self._read, changes
        if missed <= _JOURNAL:
            entries = [cells[_JOURNAL_AT + change % _JOURNAL] for change in range(changes - missed, changes)]
            for entry in dict.fromkeys(entries):
                self._read_entry(entry, cells)
        else:
            all_cells = cells[_ENTRIES_AT:].tolist()
            for entry in range(ENTRIES):
                if all_cells[entry * _ENTRY] or entry in self._networks:
                    self._read_entry(entry, cells)
        return True

    def _read_entry(self, entry: int, cells: memoryview) -> None:
        known = self._networks.pop(entry, None)
        if known is not None:
            self.blocks.unblock(known)
        at = _ENTRIES_AT + entry * _ENTRY
        until, kind, high, low = cells[at : at + _ENTRY].tolist()
        if until:
            network = Network(bool(kind & _IPV6), high << 64 | low, kind & 0xFF)
            self._networks[entry] = network
            self.blocks.block(network, until)


class BlockWriter(SharedBlocks):
    """The writer: control."""

    __slots__ = ("_entries", "_free")

    def __init__(self, cells: memoryview) -> None:
        SharedBlocks.__init__(self, cells)
        self._take_stock()

    def catch_up(self) -> None:
        """Read what another writer has changed: at an upgrade the old instance's control may still write."""
        if self.refresh():
            self._take_stock()

    def _take_stock(self) -> None:
        self._entries = {network: entry for entry, network in self._networks.items()}
        self._free = [entry for entry in range(ENTRIES - 1, -1, -1) if entry not in self._networks]

    def reserve(self, count: int) -> None:
        """FullError when there is no room for so many more."""
        if count > len(self._free):
            raise FullError(f"no more than {ENTRIES} may be blocked at run time; for more there are files of lists")

    def block(self, network: Network, until: int) -> None:
        """Block it until then. FullError when there is no room."""
        entry = self._entries.get(network)
        if entry is None:
            self.reserve(1)
            entry = self._entries[network] = self._free.pop()
        self._write(entry, network, until)

    def unblock(self, network: Network) -> bool:
        """End the block of exactly this network. Whether there was one."""
        entry = self._entries.pop(network, None)
        if entry is None:
            return False
        self._write(entry, network, 0)
        self._free.append(entry)
        return True

    def expire(self, now: int) -> list[Network]:
        """Free the entries that are over."""
        over = [network for network, until in self.blocks if until <= now]
        for network in over:
            self.unblock(network)
        return over

    def _write(self, entry: int, network: Network, until: int) -> None:
        """Readers take the entry as free until all of it is there, and look again once the change is counted."""
        cells = self._cells
        at = _ENTRIES_AT + entry * _ENTRY
        cells[at] = 0
        cells[at + 1] = network.host_bits | (_IPV6 if network.is_ipv6 else 0)
        cells[at + 2] = network.first >> 64
        cells[at + 3] = network.first & _LOW
        cells[at] = until
        changes = cells[_CHANGES]
        cells[_JOURNAL_AT + changes % _JOURNAL] = entry
        cells[_CHANGES] = changes + 1
        self.refresh()
