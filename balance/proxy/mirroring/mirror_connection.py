"""A connection to a backend of a mirror: sends one copy at a time, and throws away what comes back."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from balance.proxy.descriptor_limit import DescriptorLimit

MAX_REPLY: Final = 1024 * 1024  # bytes that are read of a reply; after more the connection is closed


class MirrorConnection(asyncio.Protocol):
    """Never paused: replies are not kept. `is_usable` while it may send another copy."""

    __slots__ = ("_answer", "_descriptors", "_has_begun", "_is_counted", "_is_head", "_left", "_parser", "is_usable",
                 "served", "transport")  # fmt: skip

    def __init__(self, descriptors: DescriptorLimit) -> None:
        self.transport: asyncio.Transport
        self._descriptors = descriptors
        self._is_counted = False
        self.is_usable = False
        self.served = 0  # copies sent
        self._answer: asyncio.Future[bool] | None = None  # of the copy under way: whether a reply came
        self._parser: HttpResponseParser | None = None
        self._is_head = False  # the copy is of a HEAD request, whose reply has no body
        self._has_begun = False  # the reply's head has come
        self._left = 0

    def opened(self) -> None:
        """The dial has succeeded: count the connection, as Upstream does."""
        self._is_counted = True

    def send(self, loop: asyncio.AbstractEventLoop, method: bytes, data: bytes) -> asyncio.Future[bool]:
        """Send a copy. The result is True when its reply has come, False when the connection ended before."""
        answer = self._answer = loop.create_future()
        self._parser = HttpResponseParser(self)
        self._is_head = method == b"HEAD"
        self._has_begun = False
        self._left = MAX_REPLY
        self.served += 1
        if self.transport.is_closing():
            self._done(is_answered=False)
        else:
            self.transport.write(data)
        return answer

    def close(self) -> None:
        """Close now; a copy under way is not answered."""
        self.is_usable = False
        self.transport.abort()
        self._done(is_answered=False)

    def _done(self, *, is_answered: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(is_answered)

    # --- what the loop calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self._answer is None or parser is None:  # bytes that nobody asked for
            self.close()
            return
        self._left -= len(data)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._replied()
        except HttpParserError:
            self.close()
        if self._left <= 0 and self._answer is not None:
            self._replied()

    def eof_received(self) -> bool:
        self.is_usable = False
        return False  # closes the transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_usable = False
        if self._is_counted:
            self._is_counted = False
            self._descriptors.upstreams -= 1
        self._done(is_answered=self._has_begun and exc is None)  # a reply without a length ends so

    def _replied(self) -> None:
        """The reply is there, or as much of it as is read; nothing else follows on this connection."""
        self._done(is_answered=True)
        self.is_usable = False
        self.transport.abort()

    # --- what the parser calls ------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answer is None:  # a reply that nobody asked for follows
            self.is_usable = False

    def on_headers_complete(self) -> None:
        if self._parser is None or self._parser.get_status_code() < 200:
            return
        self._has_begun = True
        if self._is_head:
            self._replied()

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is None or self._answer is None or parser.get_status_code() < 200:
            return
        if parser.should_keep_alive():
            self._done(is_answered=True)
        else:
            self._replied()
