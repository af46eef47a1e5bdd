"""Heads of HTTP/1.1 become blocks that say the same to an independent reader, and nothing of one connection."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.http1.head import RequestFields
from balance.http2 import head_encoder
from balance.http2.head_encoder import encode_lines, encode_request, encode_response

NAMES = st.text("ABCabc-_.019", min_size=1, max_size=12).filter(lambda name: not name.lower().startswith(("te", "host")))
VALUES = st.text([chr(byte) for byte in range(0x20, 0x100) if byte != 0x7F] + ["\t"], max_size=40)


def read(block: bytes) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in hpack.Decoder().decode(block, raw=True)]


def test_a_response() -> None:
    lines = b"Content-Type: text/html\r\nServer:  a b \t\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Empty:\r\n"
    fields = [
        (b":status", b"200"),
        (b"content-type", b"text/html"),
        (b"server", b"a b"),
        (b"set-cookie", b"a=1; Path=/"),
        (b"set-cookie", b"b=2"),
        (b"x-empty", b""),
    ]
    assert read(encode_response(200, lines)) == fields
    assert read(encode_response(200, b"HTTP/1.1 200 OK\r\n" + lines)) == fields
    assert read(encode_response(103, b"Link: </a>\r\n")) == [(b":status", b"103"), (b"link", b"</a>")]


def test_a_request() -> None:
    block = encode_request(b"GET", b"https", b"a.example", b"/x", b"Host: b.example\r\nAccept: */*\r\nTE: gzip, Trailers\r\n")
    assert read(block) == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"a.example"),
        (b":path", b"/x"),
        (b"accept", b"*/*"),
        (b"te", b"trailers"),
    ]
    block = encode_request(b"CONNECT", b"http", b"a", b"/", b"", b"websocket")
    assert (b":protocol", b"websocket") in read(block)


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close",
        b"connection: keep-alive, Upgrade",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Transfer-Encoding: chunked",
        b"UPGRADE: h2c",
        b"HTTP2-Settings: AAMAAABkAAQ",
        b"TE: gzip",
    ],
)
def test_what_is_said_of_one_connection_of_http1_is_left_out(line: bytes) -> None:
    for _ in range(2):  # the second time from memory
        assert read(encode_lines(b"A: 1\r\n" + line + b"\r\nB: 2\r\n")) == [(b"a", b"1"), (b"b", b"2")]


def test_what_connection_names_is_left_out_but_for_what_makes_the_message() -> None:
    lines = b"X-Secret: 1\r\nConnection: x-secret, Content-Length\r\nContent-Length: 3\r\nB: 2\r\n"
    assert read(encode_lines(lines)) == [(b"content-length", b"3"), (b"b", b"2")]
    for order in (lines, b"B: 2\r\nX-Secret: 1\r\nConnection: x-secret\r\n", lines):
        assert (b"x-secret", b"1") not in read(encode_lines(order))
        assert (b"b", b"2") in read(encode_lines(order))
    assert read(encode_lines(b"X-Secret: 1\r\n")) == [(b"x-secret", b"1")]


@pytest.mark.parametrize(
    "line", [b"no colon", b"none", b": of no name", b"a b: c", b"a: b\rc: d", b"a: \x00", b"a\xe4: b", b"a : b"]
)
def test_what_is_no_field_is_left_out(line: bytes) -> None:
    assert read(encode_lines(line + b"\r\nB: 2\r\n")) == [(b"b", b"2")]


@pytest.mark.parametrize("name", [b"Authorization", b"Cookie", b"Set-Cookie", b"Proxy-Authorization"])
def test_a_secret_is_kept_in_no_table_and_in_no_memory(name: bytes) -> None:
    (field,) = hpack.Decoder().decode(encode_lines(name + b": secret of one user\r\n"), raw=True)
    assert isinstance(field, hpack.NeverIndexedHeaderTuple)
    encode_response(200, b"A: 1\r\n" + name + b": secret of one user\r\nB: 2\r\n")
    assert not any(b"secret of one user" in line for line in [*head_encoder._lines, *head_encoder._heads])


def test_lines_of_a_request_are_read_once_for_its_fields() -> None:
    fields = RequestFields(forward=b"Accept: */*\r\nAuthorization: secret of a user\r\n")
    for number in range(3):
        lines = fields.forward + b"X-Forwarded-Proto: http\r\nX-Request-Id: %d\r\n" % number
        block = encode_request(b"GET", b"http", b"a", b"/x", lines, fields=fields)
        assert block == encode_request(b"GET", b"http", b"a", b"/x", lines)
    for others in (b"B: 1\r\n", b"", fields.forward, fields.forward[:-4]):  # a route has changed them, or nothing was added
        block = encode_request(b"GET", b"http", b"a", b"/x", others, fields=fields)
        assert block == encode_request(b"GET", b"http", b"a", b"/x", others)
    assert not any(b"secret of a user" in line for line in [*head_encoder._lines, *head_encoder._heads])


def test_lines_of_a_request_that_name_others_are_left_out() -> None:
    fields = RequestFields(forward=b"Connection: b\r\nB: 1\r\nC: 2\r\n")
    for _ in range(2):
        block = encode_request(b"GET", b"http", b"a", b"/x", fields.forward + b"D: 3\r\n", fields=fields)
        assert read(block)[4:] == [(b"c", b"2"), (b"d", b"3")]


@pytest.mark.parametrize("size", [1, 2, 11, 126, 127, 128, 1000])
def test_a_path_of_any_length(size: int) -> None:
    path = b"/" * size
    assert (b":path", path) in read(encode_request(b"GET", b"http", b"a", path, b""))


def test_a_head_with_an_id_in_it_is_not_remembered() -> None:
    head_encoder._heads.clear()
    for number in range(300):
        block = encode_response(200, b"Server: a\r\nX-Request-Id: %d\r\nX-Backend: b\r\n" % number)
        assert read(block)[2:] == [(b"x-request-id", b"%d" % number), (b"x-backend", b"b")]
        encode_response(200, b"Server: a\r\nX-Backend: b\r\nX-Request-Id: %d\r\n" % number)
    assert list(head_encoder._heads) == [b"Server: a\r\nX-Backend: b\r\n"]
    assert not [line for line in head_encoder._lines if line.startswith(b"X-Request-Id")]


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_any_fields_arrive(fields: list[tuple[str, str]]) -> None:
    lines = b"".join([f"{name}: {value}\r\n".encode("latin-1") for name, value in fields])
    expected = [(name.lower().encode(), value.strip(" \t").encode("latin-1")) for name, value in fields]
    assert read(encode_lines(lines)) == expected
    assert read(encode_lines(lines)) == expected


def test_the_memory_is_bounded() -> None:
    for number in range(3000):
        encode_response(200, b"X-Request-Id: %d\r\nServer: a\r\nX-Long: %b\r\n" % (number, b"%d" % number * 100))
        encode_request(b"GET", b"https", b"%d.example" % number, b"/", b"A: %b\r\nB: 1\r\n" % (b"%d" % number * 600))
    assert len(head_encoder._lines) <= 1024
    assert max(map(len, head_encoder._lines)) <= 256
    assert len(head_encoder._heads) <= 256
    assert max(map(len, head_encoder._heads)) <= 2048
    assert len(head_encoder._starts) <= 512
