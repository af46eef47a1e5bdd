"""When a worker gives memory that it has freed back to the system: after many clients have left.

The C library keeps what was freed between what is still in use: 0.4 MB for each TLS connection that has uploaded something,
until the process ends. Giving it back takes milliseconds, in a thread of its own, and is done after floods, not in ups and
downs; and once more a while later, as those who left last may have been closing still.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from math import inf
from typing import Any, Final

LOOK_S: Final = 0.05  # a flood of some hundred is over in a tenth of a second
REST_S: Final = 5.0  # between two times
MANY: Final = 200  # clients that have left; fewer leave nothing that is worth it
THREAD_NAME: Final = "freed-memory"


def malloc_trim() -> Callable[[int], Any] | None:
    """The C library's function; None where it has none, as musl."""
    try:
        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim


class FreedMemory:
    """Looks every LOOK_S at how many clients there are, and remembers the most since it gave memory back."""

    __slots__ = ("_clients", "_loop", "_most", "_once_more_at", "_rests_until", "_trim")

    def __init__(self, loop: asyncio.AbstractEventLoop, clients: Callable[[], int], trim: Callable[[int], Any] | None) -> None:
        self._loop = loop
        self._clients = clients
        self._most = 0
        self._once_more_at = inf
        self._rests_until = 0.0
        self._trim = trim

    def begin(self) -> None:
        if self._trim is not None:
            self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if self.is_due(self._clients(), now):
            self._once_more_at = now + REST_S
        elif now >= self._once_more_at:
            self._once_more_at = inf
        else:
            self.begin()
            return
        threading.Thread(target=self._trim, args=(0,), name=THREAD_NAME, daemon=True).start()
        self.begin()

    def is_due(self, clients: int, now: float) -> bool:
        """Whether many have left since the last time, and more than have stayed."""
        self._most = max(self._most, clients)
        if self._most - clients < MANY or clients > self._most // 2 or now < self._rests_until:
            return False
        self._most = clients
        self._rests_until = now + REST_S
        return True
