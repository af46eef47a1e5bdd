"""The body of a request of gRPC-Web in base64, which goes on as bytes, in chunks."""

from __future__ import annotations

from httptools import HttpRequestParser

from balance.config.model import HttpConfig
from balance.errors import ProtocolError
from balance.grpc.web_frames import TextDecoder
from balance.http1.body import Body
from balance.http1.framing import BY_CHUNKS
from balance.http1.head import RequestFields
from balance.model import Why
from balance.proxy.buffering.upload import LINES_AT_ONCE, Upload


class TextUpload(Upload):
    """Decodes what is fed."""

    __slots__ = ("_text",)

    def __init__(self, fields: RequestFields, http: HttpConfig, head_bytes: int) -> None:
        Upload.__init__(self, fields, http, head_bytes)
        self._text = TextDecoder()
        if fields.framing is BY_CHUNKS:
            self._chunks = Body(BY_CHUNKS, 0, HttpRequestParser, decode=True, underscores=http.underscore_headers)
            self._chunks.take_turns(LINES_AT_ONCE)

    def begin(self, data: bytes, head_end: int) -> bytes:
        """See Upload.begin()."""
        self.hold(self.feed(data[head_end:]))
        return self.rest

    def feed(self, data: bytes) -> bytes:
        """See Upload.feed(). ProtocolError, too, for what is not base64."""
        text = Upload.feed(self, data)
        try:
            out = self._text.feed(text)
        except ValueError:
            raise ProtocolError(400, Why.BAD_REQUEST, "the body is not base64") from None
        if self.is_done and not self._text.is_whole:
            raise ProtocolError(400, Why.BAD_REQUEST, "the body is not base64: its last group is not whole")
        framed = b"%x\r\n%b\r\n" % (len(out), out) if out else b""
        return framed + b"0\r\n\r\n" if self.is_done else framed
