"""Streaming of message bodies: what is forwarded and where the body ends. Errors are 400 for requests, 502 for responses."""

from __future__ import annotations

from httptools import HttpRequestParser, HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.chunked import ChunkedBody
from balance.http1.framing import BY_CHUNKS, BY_CLOSE, BY_LENGTH, NO_BODY, Framing
from balance.http1.llhttp_check import LlhttpBodyCheck
from balance.model import Why


class Body:
    """feed() returns the bytes to forward. `rest` has those to feed later; once it `is_done`, those after the message."""

    __slots__ = ("_chunks", "_left", "_llhttp", "_normalizer", "_refusal", "is_done", "received", "rest")

    def __init__(
        self,
        framing: Framing,
        length: int,
        parser: type[HttpRequestParser] | type[HttpResponseParser],
        *,
        decode: bool = False,
        underscores: str = "drop",
        is_tolerant: bool = False,
    ) -> None:
        """`parser` is llhttp's for checking a chunked body. `decode` removes the chunk framing; the others: see ChunkedBody."""
        self._left = length
        self._chunks: ChunkedBody | None = None
        self._normalizer: ChunkedBody | None = None  # in tolerant mode: rewrites deviations before the strict parser
        self._llhttp: LlhttpBodyCheck | None = None
        self._refusal = (400, Why.BAD_REQUEST) if parser is HttpRequestParser else (502, Why.BAD_RESPONSE)
        if framing is BY_CHUNKS:
            self._chunks = ChunkedBody(decode=decode, underscores=underscores)
            self._llhttp = LlhttpBodyCheck(parser)
            if is_tolerant:
                self._normalizer = ChunkedBody(underscores=underscores, is_tolerant=True)
        elif framing is BY_CLOSE:
            self._left = -1
        self.is_done = framing is NO_BODY or (framing is BY_LENGTH and not length)
        self.received = 0  # bytes of content, without chunk framing
        self.rest = b""

    @property
    def ends_at_close(self) -> bool:
        return self._left < 0

    @property
    def buffered(self) -> bytes:
        """Received bytes that are not forwarded yet: an incomplete line of chunk framing."""
        return self._chunks.buffered if self._chunks is not None else b""

    def take_turns(self, lines_at_once: int) -> None:
        """Stop each feed() after so many lines of chunks."""
        if self._chunks is not None:
            self._chunks.lines_at_once = lines_at_once

    def frame(self, held: bytes) -> bytes:
        """See ChunkedBody.frame()."""
        assert self._chunks is not None
        return self._chunks.frame(held)

    def feed(self, data: bytes) -> bytes:
        """The bytes of `data` to forward. ProtocolError when the body is malformed."""
        if self._chunks is not None:
            return self._feed_chunks(self._chunks, data)
        left = self._left
        if left < 0:
            self.received += len(data)
            return data
        if len(data) > left:
            self.rest = data[left:]
            data = data[:left]
        self.received += len(data)
        self._left = left - len(data)
        self.is_done = not self._left
        return data

    def _feed_chunks(self, chunks: ChunkedBody, data: bytes) -> bytes:
        normalizer = self._normalizer
        try:
            if normalizer is not None:
                data = normalizer.feed(data)
            out = chunks.feed(data)
        except ValueError as error:
            raise ProtocolError(*self._refusal, str(error)) from None
        self.received = chunks.payload
        self.is_done = chunks.is_done
        self.rest = chunks.rest
        own_bytes = data[: len(data) - len(self.rest)] if self.rest else data
        if normalizer is not None:
            self.rest = normalizer.rest
        assert self._llhttp is not None
        if not self._llhttp.agrees(own_bytes, ended=self.is_done):
            raise ProtocolError(*self._refusal, "the chunks can be read in more than one way")
        return out
