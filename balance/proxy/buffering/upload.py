"""A request body on its way to the backend: its progress, and the part kept for a resend.

All that arrives before there is an upstream is kept, and is sent with the head. After that the body is kept while head and body
are at most REPLAY_LIMIT together; a request whose body is not kept cannot be sent again.
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
from balance.proxy.buffering.body_rate import BodyRate
from balance.proxy.mirroring.copy_queue import Copy

LINES_AT_ONCE: Final = 64  # of chunks: some 0.1 ms
COPY_LIMIT: Final = 16 * 1024  # bytes; up to it, a copy costs less than a view
REPLAY_LIMIT: Final = 64 * 1024  # bytes of head and body that are kept for a resend (HAProxy: one buffer, 16k)


class Upload:
    """The body of one request. It is forwarded in the framing in which it arrives."""

    __slots__ = ("_chunks", "_left", "_limit", "_room", "awaits_continue", "bytes_in", "copy", "is_done", "is_held",
                 "is_waiting", "is_whole", "kept", "rate", "rest")  # fmt: skip

    def __init__(self, fields: RequestFields, http: HttpConfig, head_bytes: int) -> None:
        """`head_bytes` is the size of the head, which counts towards REPLAY_LIMIT."""
        self._chunks: Body | None = None
        if fields.framing is BY_CHUNKS:
            self._chunks = Body(BY_CHUNKS, 0, HttpRequestParser, underscores=http.underscore_headers)
            self._chunks.take_turns(LINES_AT_ONCE)
        self._left = fields.length  # bytes to come, with Content-Length
        self._limit = http.limits.body_bytes
        self._room = REPLAY_LIMIT - head_bytes
        self.kept: bytes | memoryview | None = b""  # all of it so far, framed as sent; None: no longer kept, no resend possible
        self.bytes_in = 0  # framing included
        self.rest = b""  # bytes after the end of the body; before that, those to feed in a later turn
        self.is_done = False
        self.is_waiting = False  # it is read before a backend is chosen
        self.is_whole = False  # it was read to its end before a backend was chosen
        self.rate: BodyRate | None = None  # the least that it has to come at
        self.copy: Copy | None = None  # for a mirror, which gets the whole body at its end
        self.is_held = False  # a part arrived while there was no upstream, and reading from the client is paused
        self.awaits_continue = fields.expects_continue  # the client waits for a 100 (RFC 9110 section 10.1.1)

    @property
    def received(self) -> int:
        """Bytes of content so far, without framing."""
        return self.bytes_in if self._chunks is None else self._chunks.received

    @property
    def unread(self) -> bytes:
        """Bytes that were fed but not forwarded, as they are an incomplete element of the chunked coding."""
        return b"" if self._chunks is None else self._chunks.buffered

    def lower_limit(self, limit: int) -> None:
        """Allow at most `limit` bytes of content, as the route does. ProtocolError when there were more already."""
        self._limit = min(self._limit, limit) if self._limit else limit
        if self.received > self._limit:
            raise ProtocolError(413, Why.BODY_TOO_LARGE, f"a body of more than {self._limit} bytes")

    def begin(self, data: bytes, head_end: int) -> bytes:
        """Hold what came with the head, which ends at `head_end` of `data`; returns the bytes after the body.

        Much of it is not copied: what was read is kept until it is written. ProtocolError as feed().
        """
        size = len(data) - head_end
        if self._chunks is None and COPY_LIMIT < size <= self._left and (not self._limit or size <= self._limit):
            self._left -= size
            self.is_done = not self._left
            self.bytes_in = size
            self.awaits_continue = False
            self.kept = memoryview(data)[head_end:]
            return b""
        self.hold(self.feed(data[head_end:]))
        return self.rest

    def feed(self, data: bytes) -> bytes:
        """The bytes to forward of `data`. ProtocolError when the body is malformed or too long."""
        chunks = self._chunks
        if chunks is None:  # the common case: Content-Length needs no parser
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
        """Keep `out`, which arrived before there was an upstream: it is sent with the head."""
        self.kept = b"".join((self.kept, out)) if self.kept else out

    def sent(self, may_repeat: bool) -> None:
        """The held part was sent with the head. It stays kept if the request may be repeated and is within REPLAY_LIMIT."""
        if not may_repeat or len(self.kept or b"") > self._room:
            self.kept = None

    def keep(self, out: bytes) -> None:
        """Keep `out`, which is sent after the rest, if within REPLAY_LIMIT; else drop all that is kept."""
        kept = self.kept
        if kept is None:
            return
        if len(kept) + len(out) > self._room:
            self.kept = None
        elif out:
            self.kept = b"".join((kept, out)) if kept else out

    def head(self, head: bytes) -> bytes:
        """The request's head for this body."""
        return head

    def settle(self) -> None:
        """The backend has taken what was held."""

    def release(self) -> None:
        """Nothing of it is held any more: a backend has it, or the request has ended. Only a BufferedUpload counts it."""
