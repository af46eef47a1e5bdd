"""Which replies may be compressed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.compression.eligibility import is_eligible, is_no_transform, may_change_stored
from balance.compression.media_types import MediaTypes

TYPES = MediaTypes(("text/*",))
HTML = b"Content-Type: text/html\r\n"

CASES: list[tuple[int, bytes, bool]] = [
    (200, HTML, True),  # of unknown length
    (200, HTML + b"Content-Length: 1024\r\n", True),
    (200, HTML + b"Content-Length: 1023\r\n", False),
    (200, HTML + b"content-length:1023 \r\n", False),
    (404, HTML, True),
    (500, HTML, True),
    (200, b"", False),
    (200, b"Content-Type: image/png\r\n", False),
    (200, HTML + HTML, False),
    (200, HTML + b"Content-Encoding: gzip\r\n", False),
    (200, HTML + b"content-encoding: identity\r\n", False),
    (200, HTML + b"Content-Encoding:\r\n", False),
    (200, HTML + b"Cache-Control: public, no-transform\r\n", False),
    (200, HTML + b"Cache-Control: public\r\ncache-control: NO-TRANSFORM\r\n", False),
    (200, HTML + b"Cache-Control: no-transform-ever, no-cache\r\n", True),
    (200, HTML + b"X-Cache-Control: no-transform\r\n", True),
    (200, HTML + b"X: Content-Encoding: gzip\r\n", True),
    (206, HTML, False),
    (200, HTML + b"Content-Range: bytes 0-9/100\r\n", False),
    (416, HTML + b"Content-Range: bytes */100\r\n", False),
    (101, HTML, False),
    (103, HTML, False),
    (204, HTML, False),
    (205, HTML, False),
    (304, HTML, False),
    (200, b"Content-Type: text/event-stream\r\n", False),
]


@pytest.mark.parametrize(("status", "fields", "expected"), CASES)
def test_heads_of_replies(status: int, fields: bytes, expected: bool) -> None:
    assert is_eligible(status, b"HTTP/1.1 %d X\r\n%b" % (status, fields), TYPES, 1024) is expected


def test_event_streams_are_compressed_where_they_are_named() -> None:
    types = MediaTypes(("text/event-stream",))
    assert is_eligible(200, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n", types, 1024)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"", True),
        (b'ETag: "x"\r\n', True),
        (b"Content-Type: text/css\r\n", True),
        (b"Content-Type: image/png\r\n", False),
        (b"Content-Encoding: gzip\r\n", False),
        (b"Cache-Control: no-transform\r\n", False),
    ],
)
def test_a_304_is_for_what_its_fields_do_not_rule_out(fields: bytes, expected: bool) -> None:
    assert may_change_stored(b"HTTP/1.1 304 Not Modified\r\n" + fields, TYPES) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"no-transform", True),
        (b"a,no-transform", True),
        (b"a, no-transform ,b", True),
        (b"xno-transform", False),
        (b"", False),
    ],
)
def test_no_transform_is_a_directive_of_its_own(value: bytes, expected: bool) -> None:
    assert is_no_transform(value) is expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([HTML, b"X: y\r\n", b"Content-Encoding: br\r\n", b"Cache-Control: no-transform\r\n"])))
def test_no_order_of_lines_lets_what_is_encoded_through(lines: list[bytes]) -> None:
    refused = lines.count(HTML) != 1 or any(b"br" in line or b"no-transform" in line for line in lines)
    assert is_eligible(200, b"HTTP/1.1 200 OK\r\n" + b"".join(lines), TYPES, 0) is not refused
