"""The memory that one worker has for bodies that are taken whole: `http.buffering.total`.

The sum is the worker's; each listener, pool or route compares it with its own `total`. Nobody waits for room: a body that finds
none is streamed.
"""

from __future__ import annotations

from balance.runtime import counters


class BufferBudget:
    """Bytes of bodies that are held now, of all connections of the worker, and how many were taken whole so far."""

    __slots__ = ("_cells", "held")

    def __init__(self, cells: memoryview | None = None) -> None:
        """`cells` is the worker's row, where it is counted."""
        self.held = 0
        self._cells = cells

    def count_request(self, size: int, *, is_whole: bool) -> None:
        """A request's body that was to be read first: it was, or is streamed from here on."""
        if self._cells is None:
            return
        if is_whole:
            self._cells[counters.BUFFERED] += 1
            self._cells[counters.BUFFERED_BYTES] += size
        else:
            self._cells[counters.BUFFER_OVERFLOWS] += 1

    def has_room(self, size: int, total: int) -> bool:
        """Whether `size` bytes more stay within `total`."""
        return self.held + size <= total
