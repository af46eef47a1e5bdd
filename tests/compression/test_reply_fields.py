"""The field lines of compressed replies."""

from __future__ import annotations

import pytest

from balance.compression.reply_fields import compressed, entity_tag, weakened, with_vary

STATUS = b"HTTP/1.1 200 OK\r\n"

VARY: list[tuple[bytes, bytes]] = [
    (b"", b"Vary: Accept-Encoding\r\n"),
    (b"X: y\r\n", b"X: y\r\nVary: Accept-Encoding\r\n"),
    (b"Vary: Origin\r\nX: y\r\n", b"Vary: Origin, Accept-Encoding\r\nX: y\r\n"),
    (b"vary:Origin \r\n", b"vary:Origin, Accept-Encoding\r\n"),
    (b"Vary: Origin\r\nVary: Cookie\r\n", b"Vary: Origin, Accept-Encoding\r\nVary: Cookie\r\n"),
    (b"Vary: Origin\r\nVary: accept-encoding\r\n", b"Vary: Origin\r\nVary: accept-encoding\r\n"),
    (b"Vary: Origin,ACCEPT-ENCODING ,Cookie\r\n", b"Vary: Origin,ACCEPT-ENCODING ,Cookie\r\n"),
    (b"Vary: *\r\n", b"Vary: *\r\n"),
    (b"Vary: Origin, *\r\n", b"Vary: Origin, *\r\n"),
    (b"Vary:\r\n", b"Vary:Accept-Encoding\r\n"),
    (b"Vary: Origin,\r\n", b"Vary: Origin, Accept-Encoding\r\n"),
    (b"X-Vary: Accept-Encoding\r\n", b"X-Vary: Accept-Encoding\r\nVary: Accept-Encoding\r\n"),
    (b"Vary: X-Accept-Encoding\r\n", b"Vary: X-Accept-Encoding, Accept-Encoding\r\n"),
]


@pytest.mark.parametrize(("fields", "expected"), VARY)
def test_vary_is_merged_once(fields: bytes, expected: bytes) -> None:
    assert with_vary(STATUS + fields) == STATUS + expected
    assert with_vary(with_vary(STATUS + fields)) == STATUS + expected


TAGS: list[tuple[bytes, bytes]] = [
    (b"", b""),
    (b'ETag: "x"\r\n', b'ETag: W/"x"\r\n'),
    (b'etag:"x" \r\nX: y\r\n', b'etag:W/"x" \r\nX: y\r\n'),
    (b'ETag: W/"x"\r\n', b'ETag: W/"x"\r\n'),
    (b'ETag: ""\r\n', b'ETag: W/""\r\n'),
    (b"ETag: x\r\nX: y\r\n", b"X: y\r\n"),  # malformed
    (b'ETag: "a"b"\r\n', b""),
    (b'X-ETag: "x"\r\n', b'X-ETag: "x"\r\n'),
]


@pytest.mark.parametrize(("fields", "expected"), TAGS)
def test_a_strong_tag_is_weakened(fields: bytes, expected: bytes) -> None:
    assert weakened(STATUS + fields) == STATUS + expected


def test_the_tag_is_found() -> None:
    assert entity_tag(STATUS + b'ETag: "x" \r\n') == b'"x"'
    assert entity_tag(STATUS) == b""


def test_what_is_of_the_bytes_before_goes() -> None:
    lines = (
        STATUS + b"Content-Type: text/plain\r\nContent-Length: 5000\r\ncontent-md5: abc\r\nDigest: sha-256=x\r\n"
        b"Content-Digest: sha-256=:x:\r\nRepr-Digest: sha-256=:x:\r\nAccept-Ranges: bytes\r\nTrailer: Digest\r\n"
        b'ETag: "x"\r\nX-Digest: kept\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n'
    )
    assert compressed(lines, b"br") == (
        STATUS + b"Content-Type: text/plain\r\n"
        b'ETag: W/"x"\r\nX-Digest: kept\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n'
        b"Vary: Accept-Encoding\r\nContent-Encoding: br\r\n"
    )


def test_neighbouring_lines_go_too() -> None:
    assert compressed(STATUS + b"Digest: a\r\nDigest: b\r\n", b"gzip") == (
        STATUS + b"Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n"
    )
