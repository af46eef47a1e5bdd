"""Responses of HTTP/2 as text that the reader of HTTP/1.1 takes for the same."""

from __future__ import annotations

import pytest

from balance.http1.framing import BY_CHUNKS, BY_LENGTH, NO_BODY, Framing
from balance.http1.response import ResponseReader
from balance.http2.message_fields import NO_LENGTH
from balance.http2.reply_text import chunk, head_text, last_chunk, needs_chunks
from balance.http2.response_head import ResponseHead


def text(status: int, lines: bytes = b"", length: int = NO_LENGTH, *, ends: bool = False, is_head: bool = False) -> bytes:
    head = ResponseHead(status, lines, length)
    has_chunks = needs_chunks(head, ends=ends, is_head_request=is_head)
    return head_text(head, ends=ends, is_head_request=is_head, has_chunks=has_chunks)


@pytest.mark.parametrize(
    ("made", "framing", "length"),
    [
        (text(200), BY_CHUNKS, 0),
        (text(200, ends=True), NO_BODY, 0),
        (text(200, b"content-length: 7\r\n", 7), BY_LENGTH, 7),
        (text(200, b"content-length: 7\r\ntrailer: x\r\n", 7), BY_CHUNKS, 0),
        (text(200, b"content-type: application/grpc\r\ncontent-length: 7\r\n", 7), BY_CHUNKS, 0),
        (text(204, ends=True), NO_BODY, 0),
        (text(304), NO_BODY, 0),
        (text(299), BY_CHUNKS, 0),
    ],
)
def test_the_length_is_known_or_there_are_chunks(made: bytes, framing: Framing, length: int) -> None:
    response = ResponseReader().read(made)
    assert (response.framing, response.length, response.keep_alive) == (framing, length, True)


def test_a_status_has_its_phrase() -> None:
    assert text(404, ends=True).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert text(299, ends=True).startswith(b"HTTP/1.1 299 \r\n")
    assert text(103, b"link: </a>\r\n") == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


def test_a_reply_to_head_says_what_a_get_would_get() -> None:
    assert text(200, ends=True, is_head=True).endswith(b"Transfer-Encoding: chunked\r\n\r\n")
    assert text(200, b"content-length: 7\r\n", 7, ends=True, is_head=True).endswith(b"\r\ncontent-length: 7\r\n\r\n")


def test_content_and_trailers_are_chunks() -> None:
    assert chunk(bytes(26)) == b"1a\r\n" + bytes(26) + b"\r\n"
    assert last_chunk(b"x: 1\r\n") == b"0\r\nx: 1\r\n\r\n"
