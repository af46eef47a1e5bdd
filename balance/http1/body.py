"""A message body as it streams by: what of it goes on, and where it ends. For requests (400) and replies (502) alike."""

from __future__ import annotations

from httptools import HttpRequestParser, HttpResponseParser

from balance.errors import ProtocolError
from balance.http1.chunked import ChunkedBody
from balance.http1.framing import BY_CHUNKS, BY_CLOSE, BY_LENGTH, NO_BODY, Framing
from balance.http1.llhttp_check import LlhttpBodyCheck
from balance.model import Why


class Body:
    """Feed it what comes; it returns what goes on. After `is_done`, `rest` holds the bytes that follow the message."""

    __slots__ = ("_chunks", "_left", "_refusal", "_tidied", "_witness", "is_done", "received", "rest")

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
        """`parser` is the second reader of a chunked body. `decode` takes the chunks off; for the others see ChunkedBody."""
        self._left = length
        self._chunks: ChunkedBody | None = None
        self._tidied: ChunkedBody | None = None  # rewrites what breaks a rule, before it is read strictly
        self._witness: LlhttpBodyCheck | None = None
        self._refusal = (400, Why.BAD_REQUEST) if parser is HttpRequestParser else (502, Why.BAD_RESPONSE)
        if framing is BY_CHUNKS:
            self._chunks = ChunkedBody(decode=decode, underscores=underscores)
            self._witness = LlhttpBodyCheck(parser)
            if is_tolerant:
                self._tidied = ChunkedBody(underscores=underscores, is_tolerant=True)
        elif framing is BY_CLOSE:
            self._left = -1
        self.is_done = framing is NO_BODY or (framing is BY_LENGTH and not length)
        self.received = 0  # bytes of content, without chunk framing
        self.rest = b""

    @property
    def ends_at_close(self) -> bool:
        return self._left < 0

    @property
    def held(self) -> bytes:
        """What came of it and has not gone on, because it says nothing yet."""
        return self._chunks.held if self._chunks is not None else b""

    def feed(self, data: bytes) -> bytes:
        """What goes on of `data`. ProtocolError when the body is malformed."""
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
        tidied = self._tidied
        try:
            if tidied is not None:
                data = tidied.feed(data)
            out = chunks.feed(data)
        except ValueError as error:
            raise ProtocolError(*self._refusal, str(error)) from None
        self.received = chunks.payload
        self.is_done = chunks.is_done
        self.rest = chunks.rest
        mine = data[: len(data) - len(self.rest)] if self.rest else data
        if tidied is not None:
            self.rest = tidied.rest
        assert self._witness is not None
        if not self._witness.agrees(mine, ended=self.is_done):
            raise ProtocolError(*self._refusal, "the chunks can be read in more than one way")
        return out
