"""When a worker gives memory that it has freed back to the system: after many clients have left.

The C library keeps what was freed between what is still in use: 0.4 MB for each TLS connection that has uploaded something,
until the process ends. Giving it back takes milliseconds, in a thread of its own, and is done after floods, not in ups and
downs.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from typing import Any, Final

LOOK_S: Final = 5.0
MANY: Final = 200  # clients that have left; fewer leave nothing that is worth it


def malloc_trim() -> Callable[[int], Any] | None:
    """The C library's function; None where it has none, as musl."""
    try:
        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim


class FreedMemory:
    """Looks every LOOK_S at how many clients there are, and remembers the most."""

    __slots__ = ("_clients", "_loop", "_most", "_trim")

    def __init__(self, loop: asyncio.AbstractEventLoop, clients: Callable[[], int], trim: Callable[[int], Any] | None) -> None:
        self._loop = loop
        self._clients = clients
        self._most = 0
        self._trim = trim

    def begin(self) -> None:
        if self._trim is not None:
            self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        if self.is_due(self._clients()):
            threading.Thread(target=self._trim, args=(0,), daemon=True).start()
        self.begin()

    def is_due(self, clients: int) -> bool:
        """Whether many have left since the last time, and more than have stayed."""
        if clients >= self._most:
            self._most = clients
            return False
        if self._most - clients < MANY or clients > self._most // 2:
            return False
        self._most = clients
        return True
