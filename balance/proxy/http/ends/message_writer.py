"""Writes the reply of an exchange to a client. The exchange decides what is replied; a writer knows how its protocol says it.

The methods that write a reply return the number of bytes written, 0 when the client is gone.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from balance.config.route_model import Buffering
from balance.http1.body import Body
from balance.http1.framing import BY_LENGTH, Framing
from balance.http1.head import Response
from balance.model import Why
from balance.proxy.buffer_budget import BufferBudget
from balance.proxy.buffering.reply_buffer import ReplyBuffer
from balance.stages.stage import Reply

if TYPE_CHECKING:
    from balance.proxy.http.exchange.exchange import Exchange

JOIN_LIMIT: Final = 16 * 1024  # bytes; up to it, copying a body behind its head is cheaper than a second buffer for the kernel


class MessageWriter:
    """The reply side of one client."""

    __slots__ = ("buffer", "ends_at_close", "keeps_alive")

    def __init__(self) -> None:
        self.buffer: ReplyBuffer | None = None  # while the client is slow, where replies are buffered
        self.keeps_alive = False  # the connection stays open after this reply; set from the request, cleared by a reply
        self.ends_at_close = False  # only the close of the connection marks the end of this reply

    @abstractmethod
    def interim(self, exchange: Exchange, response: Response) -> None:
        """Write a 1xx."""

    @abstractmethod
    def go_on(self) -> None:
        """Write a 100 of our own (RFC 9110 section 10.1.1)."""

    @abstractmethod
    def hold(self, buffering: Buffering, budget: BufferBudget) -> ReplyBuffer:
        """From now on hold what follows of the reply, until the client has taken it."""

    @abstractmethod
    def begin(
        self, exchange: Exchange, response: Response, framing: Framing, body: bytes | memoryview, content: Body | None
    ) -> int:
        """Write the head and the available part of the body. `content` is the progress of the body; None: it is complete."""

    def whole(self, exchange: Exchange, response: Response, data: bytes, start: int) -> int:
        """begin() of a reply with a length that came at once: its body is what `data` has from `start` on."""
        # A long body is not copied: what was read is kept until it is written.
        body = data[start:] if len(data) - start <= JOIN_LIMIT else memoryview(data)[start:]
        return self.begin(exchange, response, BY_LENGTH, body, None)

    @abstractmethod
    def more(self, data: bytes, content: Body) -> int:
        """Write more of the body. `content` is its progress, with this part."""

    @abstractmethod
    def switching(self, exchange: Exchange, response: Response) -> int:
        """Write that the backend has switched protocols (RFC 9110 section 7.8)."""

    @abstractmethod
    def error(self, exchange: Exchange, status: int, why: Why, detail: str, lines: bytes = b"") -> int:
        """Write an error reply of our own, in place of the backend's reply; `lines` are more of its fields."""

    @abstractmethod
    def own(self, exchange: Exchange, reply: Reply) -> int:
        """Write a reply that a stage has made."""
