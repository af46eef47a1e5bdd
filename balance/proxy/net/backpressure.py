"""Backpressure: reading from a connection is paused while its other side can't take more."""

from __future__ import annotations

import asyncio
from typing import cast

from balance.proxy.net.polled_transport import AnyTransport


class Backpressure:
    """Pauses and resumes reading. HTTP clients have their own, in `client`, as they have two reasons to pause at once."""

    __slots__ = ("is_paused", "transport")

    def __init__(self) -> None:
        self.transport: AnyTransport = cast(asyncio.Transport, None)  # until connection_made
        self.is_paused = False

    def pause(self) -> None:
        """Stop reading: the other side can't take more. No effect when paused or closing."""
        if not self.is_paused and not self.transport.is_closing():
            self.is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again, if paused and not closing."""
        if self.is_paused and not self.transport.is_closing():
            self.is_paused = False
            self.transport.resume_reading()
