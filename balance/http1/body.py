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

    __slots__ = ("_chunks", "_is_own", "_left", "_llhttp", "_normalizer", "_parser", "_received", "is_done", "rest")

    def __init__(
        self,
        framing: Framing,
        length: int,
        parser: type[HttpRequestParser] | type[HttpResponseParser],
        *,
        decode: bool = False,
        underscores: str = "drop",
        is_tolerant: bool = False,
        is_own: bool = False,
    ) -> None:
        """`parser` is llhttp's for checking a chunked body; not asked where the chunks were made by us (`is_own`). `decode`
        removes the chunk framing; the others: see ChunkedBody.
        """
        self._parser = parser
        self._is_own = is_own
        self._left = length
        self._chunks: ChunkedBody | None = None
        self._normalizer: ChunkedBody | None = None  # in tolerant mode: rewrites deviations before the strict parser
        self._llhttp: LlhttpBodyCheck | None = None  # from the first bytes on that are more than plain chunks
        if framing is BY_CHUNKS:
            self._chunks = ChunkedBody(decode=decode, underscores=underscores)
            if is_tolerant:
                self._normalizer = ChunkedBody(underscores=underscores, is_tolerant=True)
        elif framing is BY_CLOSE:
            self._left = -1
        self.is_done = framing is NO_BODY or (framing is BY_LENGTH and not length)
        self._received = 0  # of a body without chunks
        self.rest = b""

    @property
    def received(self) -> int:
        """Bytes of content so far, without chunk framing."""
        return self._received if self._chunks is None else self._chunks.payload

    @property
    def ends_at_close(self) -> bool:
        return self._left < 0

    @property
    def buffered(self) -> bytes:
        """Received bytes that are not forwarded yet: an incomplete line of chunk framing."""
        return self._chunks.buffered if self._chunks is not None else b""

    @property
    def trailers(self) -> bytes:
        """The lines of those that may be passed on, of a chunked body that is decoded."""
        return self._chunks.trailers if self._chunks is not None else b""

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
        chunks = self._chunks
        if chunks is not None:
            if self._normalizer is not None:
                return self._feed_normalized(chunks, self._normalizer, data)
            try:
                out = chunks.feed(data)
            except ValueError as error:
                raise self._refused(error) from None
            self.is_done = chunks.is_done
            self.rest = chunks.rest
            if not chunks.is_plain and not self._is_own:
                self._ask_llhttp(chunks.doubted or data, len(self.rest))
            return out
        left = self._left
        if left < 0:
            self._received += len(data)
            return data
        if len(data) > left:
            self.rest = data[left:]
            data = data[:left]
        self._received += len(data)
        self._left = left - len(data)
        self.is_done = not self._left
        return data

    def _feed_normalized(self, chunks: ChunkedBody, normalizer: ChunkedBody, data: bytes) -> bytes:
        """feed() in tolerant mode."""
        try:
            data = normalizer.feed(data)
            out = chunks.feed(data)
        except ValueError as error:
            raise self._refused(error) from None
        self.is_done = chunks.is_done
        if not chunks.is_plain:
            self._ask_llhttp(chunks.doubted or data, len(chunks.rest))
        self.rest = normalizer.rest
        return out

    def _ask_llhttp(self, data: bytes, after: int) -> None:
        """Refuse the body if llhttp reads it in another way; the last `after` bytes are not of it, or read later.

        Of plain chunks there is one reading: digits, CRLF, as many bytes, CRLF. So llhttp begins with the first that is not
        plain, where it would be had it read all before.
        """
        if self._llhttp is None:
            self._llhttp = LlhttpBodyCheck(self._parser)
        if not self._llhttp.agrees(data[: len(data) - after] if after else data, ended=self.is_done):
            raise self._refused(ValueError("the chunks can be read in more than one way"))

    def _refused(self, error: ValueError) -> ProtocolError:
        detail = str(error)
        if self._parser is HttpRequestParser:
            return ProtocolError(400, Why.BAD_REQUEST, detail)
        return ProtocolError(502, Why.BAD_RESPONSE, detail)
