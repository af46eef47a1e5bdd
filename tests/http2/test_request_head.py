"""Requests that are two requests, or another one than they seem, for whoever reads them as HTTP/1.1: each is refused."""

from __future__ import annotations

import pytest
from recording_handler import sent, started

from balance.http2 import errors, frames
from balance.http2.frames import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from balance.http2.hpack.field_encoder import encode
from balance.http2.session import SessionLimits

Fields = list[tuple[bytes, bytes]]
GET: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a.example")]


def changed(name: bytes, value: bytes | None) -> Fields:
    """GET with another pseudo-field, or without it."""
    return [(key, value if key == name else old) for key, old in GET if key != name or value is not None]  # type: ignore[misc]


MALFORMED: dict[str, Fields] = {
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "connection": [*GET, (b"connection", b"keep-alive")],
    "proxy-connection": [*GET, (b"proxy-connection", b"keep-alive")],
    "keep-alive": [*GET, (b"keep-alive", b"timeout=5")],
    "upgrade": [*GET, (b"upgrade", b"h2c")],
    "te other than trailers": [*GET, (b"te", b"trailers, deflate")],
    "CR LF in a value": [*GET, (b"x", b"y\r\ntransfer-encoding: chunked")],
    "LF in a value": [*GET, (b"x", b"y\nz")],
    "NUL in a value": [*GET, (b"x", b"y\0z")],
    "DEL in a value": [*GET, (b"x", b"y\x7fz")],
    "a blank before a value": [*GET, (b"x", b" y")],
    "a tab behind a value": [*GET, (b"x", b"y\t")],
    "a colon in a name": [*GET, (b"foo: bar\r\nx", b"y")],
    "a name in upper case": [*GET, (b"Foo", b"y")],
    "a blank in a name": [*GET, (b"foo bar", b"y")],
    "no name": [*GET, (b"", b"y")],
    "a request line in :method": changed(b":method", b"GET /admin HTTP/1.1\r\nX: y"),
    "a blank in :method": changed(b":method", b"GE T"),
    "no :method": changed(b":method", None),
    "empty :method": changed(b":method", b""),
    "no :path": changed(b":path", None),
    "empty :path": changed(b":path", b""),
    ":path without a slash": changed(b":path", b"admin"),
    ":path that is a URL": changed(b":path", b"http://other/"),
    ":path with a blank": changed(b":path", b"/a b"),
    ":path with a fragment": changed(b":path", b"/a#b"),
    ":path with CR LF": changed(b":path", b"/ HTTP/1.1\r\nX: y"),
    ":path with a byte above ASCII": changed(b":path", b"/\xff"),
    ":path * without OPTIONS": changed(b":path", b"*"),
    "no :scheme": changed(b":scheme", None),
    ":scheme that is a URL": changed(b":scheme", b"http://evil/"),
    ":scheme ftp": changed(b":scheme", b"ftp"),
    ":authority and another host": [*GET, (b"host", b"b.example")],
    "host twice": [*changed(b":authority", None), (b"host", b"a"), (b"host", b"a")],
    "neither :authority nor host": changed(b":authority", None),
    ":path twice": [*GET, (b":path", b"/other")],
    ":path behind a field": [*changed(b":path", None), (b"accept", b"*/*"), (b":path", b"/")],
    ":path behind host": [*changed(b":path", None), (b"host", b"a.example"), (b":path", b"/")],
    ":status": [*GET, (b":status", b"200")],
    ":foo": [*GET, (b":foo", b"bar")],
    ":protocol that was not offered": [*changed(b":method", b"CONNECT"), (b":protocol", b"websocket")],
    ":protocol with GET": [*GET, (b":protocol", b"websocket")],
    "CONNECT with a path": changed(b":method", b"CONNECT"),
    "content-length and no content": [*GET, (b"content-length", b"60")],
    "content-length twice": [*GET, (b"content-length", b"0"), (b"content-length", b"0")],
    "content-length that is no number": [*GET, (b"content-length", b"+0")],
    "content-length that is a list": [*GET, (b"content-length", b"0, 0")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_request_that_could_be_another_one_is_refused(name: str) -> None:
    session, handler = started(limits=SessionLimits(allows_protocol=name == ":protocol with GET"))
    session.feed(frame(HEADERS, END_STREAM | END_HEADERS, 1, encode(MALFORMED[name])), 0.0)
    assert handler.told == []
    assert sent(session) == [(frames.RST_STREAM, 0, 1, errors.PROTOCOL_ERROR.to_bytes(4, "big"))]


@pytest.mark.parametrize("ends_by", ["DATA", "empty DATA", "trailers"])
@pytest.mark.parametrize(("length", "content"), [(0, b"GET /x HTTP/1.1\r\n\r\n"), (4, b"GET /x"), (60, b"short"), (5, b"")])
def test_content_is_as_long_as_content_length_says(length: int, content: bytes, ends_by: str) -> None:
    session, handler = started()
    post = [*changed(b":method", b"POST"), (b"content-length", b"%d" % length)]
    data = frame(HEADERS, END_HEADERS, 1, encode(post))
    data += frame(DATA, END_STREAM if ends_by == "DATA" else 0, 1, content)
    if ends_by == "empty DATA":
        data += frame(DATA, END_STREAM, 1, b"")
    elif ends_by == "trailers":
        data += frame(HEADERS, END_STREAM | END_HEADERS, 1, encode([(b"x", b"y")]))
    session.feed(data, 0.0)
    assert ("reset", 1, errors.PROTOCOL_ERROR, True) in handler.told
    passed = b"".join(call[2] for call in handler.told if call[0] == "content")  # type: ignore[misc]
    assert len(passed) <= length
    assert not [call for call in handler.told if call[0] == "trailers" or (call[0] == "content" and call[3])]


def test_what_may_pass_passes() -> None:
    session, handler = started()
    requests: list[Fields] = [
        [*GET, (b"host", b"A.example")],
        [*changed(b":authority", None), (b"host", b"a.example:8443")],
        [*changed(b":method", b"OPTIONS")[:2], (b":path", b"*"), (b":authority", b"a.example")],
        [*GET, (b"te", b"trailers"), (b"x", b"t\xc3\xa4glich\tneu")],
        [*GET, (b"cookie", b"a=1"), (b"accept", b"*/*"), (b"cookie", b"b=2"), (b"cookie", b"c=3")],
        [*GET, (b"content-length", b"0"), (b"x", b"")],
        [(b":method", b"CONNECT"), (b":authority", b"a.example:443")],
    ]
    for number, fields in enumerate(requests):
        session.feed(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, encode(fields)), 0.0)
    found = [call[2:6] for call in handler.told if call[0] == "request"]
    assert found == [
        (b"GET", b"/", b"a.example", b""),
        (b"GET", b"/", b"a.example:8443", b""),
        (b"OPTIONS", b"*", b"a.example", b""),
        (b"GET", b"/", b"a.example", b"te: trailers\r\nx: t\xc3\xa4glich\tneu\r\n"),
        (b"GET", b"/", b"a.example", b"cookie: a=1; b=2; c=3\r\naccept: */*\r\n"),
        (b"GET", b"/", b"a.example", b"content-length: 0\r\nx: \r\n"),
        (b"CONNECT", b"", b"a.example:443", b""),
    ]


def test_a_websocket_is_asked_for_where_it_was_offered() -> None:
    session, handler = started(limits=SessionLimits(allows_protocol=True))
    fields = [*changed(b":method", b"CONNECT"), (b":protocol", b"websocket")]
    session.feed(frame(HEADERS, END_HEADERS, 1, encode(fields)), 0.0)
    assert handler.told == [("request", 1, b"CONNECT", b"/", b"a.example", b"", False)]


def test_a_field_that_the_table_has_is_looked_at_as_well() -> None:
    session, handler = started()
    bad = b"\x40\x01x\x05y\r\nz:"  # enters the table
    session.feed(frame(HEADERS, END_STREAM | END_HEADERS, 1, encode(GET) + bad), 0.0)
    session.feed(frame(HEADERS, END_STREAM | END_HEADERS, 3, encode(GET) + b"\xbe"), 0.0)
    assert handler.told == []
    assert [each[2] for each in sent(session)] == [1, 3]


def test_trailers_that_are_no_trailers_are_left_out() -> None:
    session, handler = started()
    data = frame(HEADERS, END_HEADERS, 1, encode(changed(b":method", b"POST"))) + frame(
        HEADERS, END_STREAM | END_HEADERS, 1, encode([(b"x-sum", b"1"), (b"content-length", b"5"), (b"host", b"b")])
    )
    session.feed(data, 0.0)
    assert handler.told[-1] == ("trailers", 1, b"x-sum: 1\r\n")
