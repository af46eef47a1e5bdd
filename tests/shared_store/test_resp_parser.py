"""Replies are read as Redis writes them, wherever they are split, and nothing is kept of what is too large."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from redis import exceptions

from balance.shared_store.resp_parser import MAX_BULK, MAX_LINE, MAX_LIST, RespParser


def read(*pieces: bytes, count: int = 1) -> list[Any]:
    """`count` replies out of these pieces, then the end."""

    async def scenario() -> list[Any]:
        stream = asyncio.StreamReader()
        parser = RespParser(65536)
        parser.on_connect(SimpleNamespace(_reader=stream))

        async def feed() -> None:
            for piece in pieces:
                stream.feed_data(piece)
                await asyncio.sleep(0)
            stream.feed_eof()

        feeding = asyncio.ensure_future(feed())
        replies = [await parser.read_response() for _ in range(count)]
        await feeding
        assert not parser.has_more
        return replies

    return asyncio.run(scenario())


REPLIES = b"+OK\r\n:-2\r\n$-1\r\n$0\r\n\r\n$4\r\n\r\n\xff\x00\r\n*3\r\n+a\r\n*0\r\n*-1\r\n-OOM no memory\r\n"


@pytest.mark.parametrize("at", range(len(REPLIES)))
def test_replies_may_be_split_anywhere(at: int) -> None:
    *replies, error = read(REPLIES[:at], REPLIES[at:], count=7)
    assert replies == [b"OK", -2, None, b"", b"\r\n\xff\x00", [b"a", [], None]]
    assert isinstance(error, exceptions.ResponseError)
    assert str(error) == "OOM no memory"


def test_replies_may_come_byte_by_byte() -> None:
    assert read(*[REPLIES[at : at + 1] for at in range(len(REPLIES))], count=7)[:2] == [b"OK", -2]


def test_a_value_too_large_is_read_past_and_taken_as_empty() -> None:
    for length in (MAX_BULK, MAX_BULK + 1, MAX_BULK * 7 + 3):
        value = b"$%d\r\n" % length + b"x" * length + b"\r\n"
        pieces = [value[at : at + 10_007] for at in range(0, len(value), 10_007)]
        assert read(*pieces, b":5\r\n", count=2) == [b"x" * length if length == MAX_BULK else b"", 5]


@pytest.mark.parametrize(
    "junk",
    [b":\r\n", b":1_0\r\n", b":+1\r\n", b":\xd9\xa1\r\n", b"$-2\r\n", b"*%d\r\n" % (MAX_LIST + 1), b"*1\r\n" * 9 + b":1\r\n",
     b"$1\r\nab\r\n", b"+" + b"x" * MAX_LINE + b"\r\n", b"+" + b"x" * 3 * MAX_LINE, b"%1\r\n", b"\r\n"],
)  # fmt: skip
def test_anything_else_is_no_reply(junk: bytes) -> None:
    with pytest.raises(exceptions.InvalidResponse):
        read(junk)


def test_an_end_within_a_reply_is_no_reply() -> None:
    for end in range(len(b"$3\r\nabc\r\n")):
        with pytest.raises(exceptions.ConnectionError):
            read(b"$3\r\nabc\r\n"[:end])
