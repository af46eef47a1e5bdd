"""A response of HTTP/2 as the text of one of HTTP/1.1, for the ordinary reader: one reader, one strictness."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from balance.http2.message_fields import NO_LENGTH
from balance.http2.response_head import ResponseHead

LAST_CHUNK: Final = b"0\r\n\r\n"
_LENGTH: Final = b"content-length: "  # as message_fields writes it, once at most
_LATER_LENGTH: Final = b"\ncontent-length: "
_NO_CONTENT: Final = (204, 304)
_STATUS_LINES: Final = {int(status): b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


def needs_chunks(head: ResponseHead, *, ends: bool, is_head_request: bool) -> bool:
    """Whether its content is told in chunks: its length is not known, or trailers follow, which have no place else.

    The session holds the content to its length all the same.
    """
    if ends or is_head_request or head.status < 200 or head.status in _NO_CONTENT:
        return False
    return head.length == NO_LENGTH or b"application/grpc" in head.lines or b"trailer:" in head.lines


def head_text(head: ResponseHead, *, ends: bool, is_head_request: bool, has_chunks: bool) -> bytes:
    """A head, or an interim one, with its framing. `has_chunks`: see needs_chunks()."""
    line = _STATUS_LINES.get(head.status)
    if line is None:
        line = b"HTTP/1.1 %d \r\n" % head.status
    lines = head.lines
    framing = b""
    if has_chunks:
        framing = b"Transfer-Encoding: chunked\r\n"
        if head.length != NO_LENGTH:
            start = 0 if lines.startswith(_LENGTH) else lines.find(_LATER_LENGTH) + 1
            lines = lines[:start] + lines[lines.find(b"\n", start) + 1 :]
    elif head.length == NO_LENGTH and head.status >= 200 and head.status not in _NO_CONTENT:
        # To HEAD, chunks are what a GET would have got (RFC 9112 section 6.1).
        framing = b"Transfer-Encoding: chunked\r\n" if is_head_request else b"Content-Length: 0\r\n"
    return b"%b%b%b\r\n" % (line, lines, framing)


def chunk(content: bytes) -> bytes:
    """Content that is not empty."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def last_chunk(trailers: bytes) -> bytes:
    return b"0\r\n%b\r\n" % trailers
