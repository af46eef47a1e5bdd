"""Responses of HTTP/2: their status first, nothing that HTTP/2 does not have."""

from __future__ import annotations

import pytest

from balance.http2.errors import StreamFault
from balance.http2.hpack.field import Field
from balance.http2.hpack.field_decoder import FieldDecoder
from balance.http2.message_fields import NO_LENGTH
from balance.http2.response_head import ResponseHead, read_response

Fields = list[tuple[bytes, bytes]]
OK: Fields = [(b":status", b"200")]


def read(fields: Fields, *, ends: bool) -> ResponseHead:
    return read_response([Field(*field) for field in fields], FieldDecoder(200, 65_536), ends=ends)


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        ([], False),
        ([(b"server", b"x"), *OK], False),
        ([*OK, *OK], False),
        ([*OK, (b":path", b"/")], False),
        ([*OK, (b"server", b"x"), (b":status", b"200")], False),
        ([(b":status", b"20")], False),
        ([(b":status", b"2000")], False),
        ([(b":status", b"+20")], False),
        ([(b":status", b"099")], False),
        ([(b":status", b"101")], False),
        ([(b":status", b"103")], True),
        ([*OK, (b"connection", b"close")], False),
        ([*OK, (b"transfer-encoding", b"chunked")], False),
        ([*OK, (b"x", b"y\r\nset-cookie: z")], False),
        ([*OK, (b"X", b"y")], False),
        ([*OK, (b"content-length", b"1"), (b"content-length", b"1")], False),
        ([*OK, (b"content-length", b"1x")], False),
    ],
)
def test_what_is_no_response_is_refused(fields: Fields, ends: bool) -> None:
    with pytest.raises(StreamFault):
        read(fields, ends=ends)


def test_what_is_one_is_read() -> None:
    head = read([*OK, (b"content-length", b"12"), (b"server", b"x")], ends=False)
    assert (head.status, head.lines, head.length, head.is_interim) == (200, b"content-length: 12\r\nserver: x\r\n", 12, False)
    hints = read([(b":status", b"103"), (b"link", b"</a>")], ends=False)
    assert (hints.status, hints.length, hints.is_interim) == (103, NO_LENGTH, True)
