"""One question over HTTP/2, for the HTTP health check of a backend that speaks it: the reply is told as HTTP/1.1."""

from __future__ import annotations

import time
from typing import Final

from balance.errors import ProtocolError
from balance.http1.response import MAX_FIELDS, MAX_HEAD
from balance.http2.handler import SessionHandler
from balance.http2.head_encoder import encode_request
from balance.http2.reply_text import LAST_CHUNK, chunk, head_text, last_chunk, needs_chunks
from balance.http2.response_head import ResponseHead
from balance.http2.session import Session, SessionLimits
from balance.http2.stream import Stream
from balance.model import Why

_LIMITS: Final = SessionLimits(fields=MAX_FIELDS, head_bytes=MAX_HEAD)


class Http2Question(SessionHandler):
    """A connection with one stream."""

    def __init__(self, scheme: str, method: str, authority: str, path: str, lines: bytes) -> None:
        """`lines`: the other fields, each with its CRLF."""
        self._session = Session(self, _LIMITS, time.monotonic(), is_server=False)
        self._is_head_request = method == "HEAD"
        self._has_chunks = False
        self._text: list[bytes] = []
        self._broken = ""
        block = encode_request(method.encode(), scheme.encode(), authority.encode(), path.encode(), lines)
        self._session.open(block, time.monotonic(), ends=True, is_head_request=self._is_head_request)

    def to_send(self) -> bytes:
        """What is to be written now."""
        parts = self._session.out.parts
        data = b"".join(parts)
        parts.clear()
        return data

    def feed(self, data: bytes) -> bytes:
        """What was read; what it says of the reply. ProtocolError when there will be none."""
        now = time.monotonic()
        while self._session.feed(data, now):  # many small frames are several turns of a connection's
            data = b""
        text = b"".join(self._text)
        self._text.clear()
        if self._broken and not text:
            raise ProtocolError(502, Why.BAD_RESPONSE, self._broken)
        return text

    def on_response(self, stream: Stream, head: ResponseHead, *, ends: bool) -> None:
        has_chunks = needs_chunks(head, ends=ends, is_head_request=self._is_head_request)
        self._has_chunks = has_chunks
        self._text.append(head_text(head, ends=ends, is_head_request=self._is_head_request, has_chunks=has_chunks))

    def on_content(self, stream: Stream, content: bytes, *, ends: bool) -> None:
        self._session.taken(stream, len(content))
        if content:
            self._text.append(chunk(content) if self._has_chunks else content)
        if ends and self._has_chunks:
            self._text.append(LAST_CHUNK)

    def on_trailers(self, stream: Stream, lines: bytes) -> None:
        if self._has_chunks:
            self._text.append(last_chunk(lines))

    def on_reset(self, stream: Stream, code: int, detail: str, *, is_ours: bool) -> None:
        self._broken = detail if is_ours else f"the stream was reset with code {code}"

    def on_unprocessed(self, stream: Stream) -> None:
        self._broken = "the connection takes no requests"

    def on_fault(self, code: int, detail: str) -> None:
        self._broken = f"this is not HTTP/2: {detail}"
