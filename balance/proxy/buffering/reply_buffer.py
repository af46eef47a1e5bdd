"""The part of a reply that a slow client has not taken yet, so that the backend is read at its own speed.

It stands between a reply's writer and the client's transport while the transport is full, and passes the bytes on as the
client reads. A byte counts in the worker's budget from its arrival until the transport has it. Nothing is delayed: a client
that reads as fast as the backend writes has no ReplyBuffer.
"""

from __future__ import annotations

from typing import Final

from balance.config.route_model import Buffering
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.net.polled_transport import AnyTransport

PART: Final = 64 * 1024  # bytes that are passed on at once: the transport's high-water mark, so that it pauses after one


class ReplyBuffer:
    """Of one client connection; made when its transport is full, dropped when it is empty and the transport takes more."""

    __slots__ = ("_budget", "_bytes", "_counted", "_limit", "_total", "_transport")

    def __init__(self, transport: AnyTransport, buffering: Buffering, budget: BufferBudget) -> None:
        self._transport = transport
        self._budget = budget
        self._limit = buffering.response_bytes
        self._total = buffering.total_bytes
        self._bytes = bytearray()  # one of few large objects, as backends may send bytes singly
        self._counted = 0  # in the budget

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def is_full(self) -> bool:
        """Whether the backend should not be read on. What one read brings may exceed the limits."""
        return len(self._bytes) >= self._limit or self._budget.held >= self._total

    @property
    def has_room(self) -> bool:
        """Whether a backend that was paused should be read again.

        From half of the limit on: a backend that waits until all is taken may give up first. When the worker's budget is used
        up, no earlier than when the buffer is empty, as without buffering.
        """
        return len(self._bytes) * 2 <= self._limit and self._budget.held < self._total

    def add(self, data: bytes) -> None:
        """Hold `data`, which follows what is held."""
        self._bytes += data
        self._counted += len(data)
        self._budget.held += len(data)

    def pass_on(self) -> None:
        """Write the next part to the transport, which may pause writing."""
        part = self._bytes[:PART]
        del self._bytes[:PART]
        self._release(len(part))
        self._transport.write(part)

    def flush(self) -> None:
        """Write all to the transport, before a close of it. It counts in the budget until release()."""
        if self._bytes:
            rest, self._bytes = self._bytes, bytearray()
            self._transport.write(rest)

    def release(self) -> None:
        """The bytes are gone: taken by the client, or dropped with its connection."""
        self._bytes = bytearray()
        self._release(self._counted)

    def _release(self, size: int) -> None:
        self._counted -= size
        self._budget.held -= size
