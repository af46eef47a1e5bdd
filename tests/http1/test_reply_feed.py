"""A reply however it is cut: what is read of it, and when it has ended."""

from __future__ import annotations

import pytest

from balance.errors import ProtocolError
from balance.http1.reply_feed import MAX_INTERIMS, ReplyFeed

CASES = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello", "GET", b"hello", True, b""),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhea\r\n2;x=y\r\nth\r\n0\r\n\r\nmore",
        "GET",
        b"heath",
        True,
        b"more",
    ),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "GET", b"", True, b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", b"", True, b""),
    (b"HTTP/1.0 200 OK\r\n\r\nhello", "GET", b"hello", False, b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "GET", b"hello", False, b""),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "GET", b"", True, b""),
]


@pytest.mark.parametrize(("data", "method", "content", "is_complete", "rest"), CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_is_read(data: bytes, method: str, content: bytes, is_complete: bool, rest: bytes, size: int) -> None:
    feed = ReplyFeed(method)
    got = b""
    for at in range(0, len(data), size):
        if feed.is_complete:
            break
        got += feed.feed(data[at : at + size])
    assert (got, feed.is_complete) == (content, is_complete)
    assert rest.startswith(feed.rest) and (size < 1000 or feed.rest == rest)


def test_the_end_of_the_connection_ends_only_a_reply_without_length() -> None:
    for data, ends in ((CASES[4][0], True), (CASES[5][0], False), (b"HTTP/1.1 200 OK\r\n", False)):
        feed = ReplyFeed("GET")
        feed.feed(data)
        feed.end()
        assert feed.is_complete is ends


def test_the_fields_of_the_final_head() -> None:
    feed = ReplyFeed("GET")
    feed.feed(b"HTTP/1.1 103 Early Hints\r\nLink: no\r\n\r\n" + CASES[0][0])
    assert (feed.status, feed.fields()) == (200, {"content-length": "5", "x-a": "1, 2"})


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INTERIMS + 1),
    ],
    ids=range(5),
)
def test_what_the_data_path_would_refuse_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ReplyFeed("GET").feed(data)
