"""A request's body on its way to the backend: how far it has come, and what of it can be sent to another one.

All that comes before there is a connection is kept, and goes out with the head. After that it is kept while it, with the head,
is no more than REPLAY_LIMIT; what is not kept can't be sent again.
"""

from __future__ import annotations

from typing import Final

from httptools import HttpRequestParser

from balance.config.model import HttpConfig
from balance.errors import ProtocolError
from balance.http1.body import Body
from balance.http1.framing import BY_CHUNKS
from balance.http1.head import RequestFields
from balance.model import Why

REPLAY_LIMIT: Final = 64 * 1024  # bytes of a request that may be sent again (HAProxy's one buffer is 16k)


class Upload:
    """Of one request. Passes on what it is fed in the framing in which it came."""

    __slots__ = ("_chunks", "_left", "_limit", "_room", "awaits_continue", "bytes_in", "is_done", "is_held", "kept",
                 "rest")  # fmt: skip

    def __init__(self, fields: RequestFields, http: HttpConfig, head_bytes: int) -> None:
        """`head_bytes` are what the head takes of REPLAY_LIMIT."""
        self._chunks: Body | None = None
        if fields.framing is BY_CHUNKS:
            self._chunks = Body(BY_CHUNKS, 0, HttpRequestParser, underscores=http.underscore_headers)
        self._left = fields.length  # to come, where there are no chunks
        self._limit = http.limits.body_bytes
        self._room = REPLAY_LIMIT - head_bytes
        self.kept: bytes | None = b""  # all that has come, as it is sent; None: it can't be sent again
        self.bytes_in = 0  # framing included
        self.rest = b""  # what came behind its end
        self.is_done = False
        self.is_held = False  # some came while there was no connection, and the client is not read
        self.awaits_continue = fields.expects_continue  # the client waits for a 100 (RFC 9110 section 10.1.1)

    @property
    def received(self) -> int:
        """Bytes of content so far, without framing."""
        return self.bytes_in if self._chunks is None else self._chunks.received

    @property
    def unread(self) -> bytes:
        """What came of it and was not passed on, because it says nothing yet."""
        return b"" if self._chunks is None else self._chunks.buffered

    def feed(self, data: bytes) -> bytes:
        """What goes on of `data`. ProtocolError when the body is malformed, or too long."""
        chunks = self._chunks
        if chunks is None:  # nearly always, and a length needs no reader
            left = self._left
            if len(data) > left:
                self.rest = data[left:]
                data = data[:left]
            self._left = left = left - len(data)
            self.is_done = not left
            self.bytes_in = received = self.bytes_in + len(data)
        else:
            size = len(data)
            data = chunks.feed(data)
            self.is_done = chunks.is_done
            self.rest = chunks.rest
            self.bytes_in += size - len(chunks.rest)
            received = chunks.received
        if received:
            self.awaits_continue = False
            if self._limit and received > self._limit:
                raise ProtocolError(413, Why.BODY_TOO_LARGE, f"a body of more than {self._limit} bytes")
        return data

    def hold(self, out: bytes) -> None:
        """`out` came before there was a connection: it goes with the head."""
        self.kept = self.kept + out if self.kept else out

    def sent(self, may_repeat: bool) -> None:
        """What was held has gone out with the head; that is kept if all that is still to come may be, too."""
        if not may_repeat or len(self.kept or b"") > self._room:
            self.kept = None

    def keep(self, out: bytes) -> None:
        """`out` was sent behind that."""
        kept = self.kept
        if kept is not None:
            self.kept = kept + out if len(kept) + len(out) <= self._room else None
