"""Looks at files in the background: once a second, each time in a daemon thread, so that a network share that hangs holds up
neither the loop nor the exit. A look that hangs is waited for, and no other begins beside it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

POLL_INTERVAL_S: Final = 1.0


class Polling:
    """From start() on, for as long as the loop runs."""

    __slots__ = ("_interval_s", "_is_needed", "_look", "_loop", "_name", "_on_change", "_thread")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        look: Callable[[], bool],
        on_change: Callable[[], object],
        *,
        is_needed: Callable[[], bool] | None = None,
        interval_s: float | None = None,
    ) -> None:
        """`look` runs in the thread; when it says that something has changed, `on_change` is called on the loop. `is_needed` is
        asked on the loop, before each thread is made.
        """
        self._loop = loop
        self._name = name
        self._look = look
        self._on_change = on_change
        self._is_needed = is_needed
        self._interval_s = POLL_INTERVAL_S if interval_s is None else interval_s
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look now, and again and again."""
        self._loop.call_later(self._interval_s, self.start)
        is_needed = self._is_needed is None or self._is_needed()
        if is_needed and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._look_in_thread, name=self._name, daemon=True)
            self._thread.start()

    def _look_in_thread(self) -> None:
        if self._look():
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._on_change)
