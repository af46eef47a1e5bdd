"""The memory that one worker has for bodies that are taken whole: `http.buffering.total`.

The sum is the worker's; each listener, pool or route compares it with its own `total`. Nobody waits for room: a body that finds
none is streamed.
"""

from __future__ import annotations


class BufferBudget:
    """Bytes of bodies that are held now, of all connections of the worker."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0

    def has_room(self, size: int, total: int) -> bool:
        """Whether `size` bytes more stay within `total`."""
        return self.held + size <= total
