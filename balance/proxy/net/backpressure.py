"""Back-pressure: a connection whose other side can't take more is not read, and every pause has its resume here."""

from __future__ import annotations

import asyncio
from typing import cast


class Backpressure:
    """The part of a connection that reads. A client's own is in `client`, where two reasons to pause can hold at once."""

    __slots__ = ("is_paused", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # until connection_made
        self.is_paused = False

    def pause(self) -> None:
        """Stop reading, because the other side can't take more."""
        if not self.is_paused and not self.transport.is_closing():
            self.is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.is_paused and not self.transport.is_closing():
            self.is_paused = False
            self.transport.resume_reading()
