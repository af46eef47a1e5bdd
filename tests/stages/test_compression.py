"""The stage that compresses: its heads, and the tags that come back."""

from __future__ import annotations

import zlib

import pytest

from balance.compression.stream_memory import StreamMemory
from balance.config.route_model import Compression
from balance.http1.framing import BY_CHUNKS, BY_LENGTH, NO_BODY
from balance.http1.head import RequestFields
from balance.stages.compression import CompressionStage
from balance.stages.request_context import RequestContext
from balance.stages.stage import ReplyHead

STATUS = b"HTTP/1.1 200 OK\r\n"
HTML = b"Content-Type: text/html\r\nContent-Length: 5000\r\n"


def context(lines: bytes = b"Accept-Encoding: gzip\r\n", method: bytes = b"GET") -> RequestContext:
    asked = RequestContext()
    asked.method = method
    asked.fields = RequestFields()
    asked.fields.forward = asked.forward = lines
    asked.fields, asked.target = asked.fields, b"/"
    return asked


def reply(fields: bytes = HTML, status: int = 200, *, is_own: bool = False) -> ReplyHead:
    return ReplyHead(status, b"HTTP/1.1 %d X\r\n%b" % (status, fields), BY_LENGTH, 5000, is_own=is_own)


@pytest.fixture
def stage() -> CompressionStage:
    return CompressionStage(Compression(enabled=True), StreamMemory())


def test_a_reply_is_compressed_for_who_accepts_it(stage: CompressionStage) -> None:
    for _ in range(2):  # the second time from what is remembered
        head = reply(HTML + b'ETag: "x"\r\nAccept-Ranges: bytes\r\nX: y\r\n')
        stage.on_reply(context(), head)
        assert head.lines == (
            b"HTTP/1.1 200 X\r\nContent-Type: text/html\r\n"
            b'ETag: W/"x"\r\nX: y\r\nVary: Accept-Encoding\r\nContent-Encoding: gzip\r\n'
        )
        assert head.encoder is not None
        assert zlib.decompress(head.encoder.encode(b"text") + head.encoder.finish(), 31) == b"text"


@pytest.mark.parametrize("asked", [b"", b"Accept-Encoding: deflate\r\n", b"Accept-Encoding: gzip;q=0\r\n"])
def test_others_get_vary_and_nothing_else(stage: CompressionStage, asked: bytes) -> None:
    head = reply(HTML + b'ETag: "x"\r\nVary: Origin\r\n')
    stage.on_reply(context(asked), head)
    assert head.lines == b"HTTP/1.1 200 X\r\n" + HTML + b'ETag: "x"\r\nVary: Origin, Accept-Encoding\r\n'
    assert head.encoder is None


def test_one_head_for_many_clients(stage: CompressionStage) -> None:
    for asked, coding in [(b"gzip", b"gzip"), (b"br", b"br"), (b"gzip, br, zstd", b"zstd"), (b"gzip", b"gzip"), (b"x", b"")]:
        head = reply()
        stage.on_reply(context(b"Accept-Encoding: %b\r\n" % asked), head)
        assert (b"Content-Encoding: %b\r\n" % coding in head.lines) is bool(coding)
        assert (head.encoder is not None) is bool(coding)


def test_a_reply_to_head_has_vary_and_its_own_length(stage: CompressionStage) -> None:
    head = reply(HTML + b'ETag: "x"\r\n')
    head.framing = NO_BODY
    stage.on_reply(context(method=b"HEAD"), head)
    assert head.lines == b"HTTP/1.1 200 X\r\n" + HTML + b'ETag: "x"\r\nVary: Accept-Encoding\r\n'
    assert head.encoder is None


UNTOUCHED = [
    (200, b"Content-Type: image/png\r\n"),
    (200, b"Content-Type: text/html\r\nContent-Length: 1023\r\n"),
    (200, HTML + b"Content-Encoding: br\r\n"),
    (200, HTML + b"Cache-Control: no-transform\r\n"),
    (200, HTML + b"Content-Range: bytes 0-4999/9999\r\n"),
    (200, b"Content-Type: text/event-stream\r\n"),
    (206, HTML),
    (204, b"Content-Type: text/html\r\n"),
    (101, b"Content-Type: text/html\r\n"),
]


@pytest.mark.parametrize(("status", "fields"), UNTOUCHED)
def test_what_is_not_eligible_is_left_as_it_is(stage: CompressionStage, status: int, fields: bytes) -> None:
    head = reply(fields, status)
    lines = head.lines
    stage.on_reply(context(), head)
    assert head.lines == lines
    assert head.encoder is None


def test_our_own_replies_are_left_as_they_are(stage: CompressionStage) -> None:
    head = reply(is_own=True)
    lines = head.lines
    stage.on_reply(context(), head)
    assert (head.lines, head.encoder) == (lines, None)


def test_an_empty_reply_stays_empty() -> None:
    stage = CompressionStage(Compression(enabled=True, min_size_bytes=0), StreamMemory())
    head = ReplyHead(200, STATUS + b"Content-Type: text/html\r\nContent-Length: 0\r\n", NO_BODY, 0)
    lines = head.lines
    stage.on_reply(context(), head)
    assert (head.lines, head.encoder) == (lines, None)


def test_a_client_that_forbids_transformation_gets_none(stage: CompressionStage) -> None:
    head = reply()
    stage.on_reply(context(b"Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n"), head)
    assert head.encoder is None


@pytest.mark.parametrize(
    ("config", "coding"),
    [
        (Compression(enabled=True, algorithms=("gzip",)), b"gzip"),
        (Compression(enabled=True, algorithms=("br", "zstd")), b"br"),
        (Compression(enabled=True, types=("text/css",)), b""),
        (Compression(enabled=True, min_size_bytes=5001), b""),
        (Compression(enabled=True, min_size_bytes=5000), b"zstd"),
    ],
)
def test_every_key_counts(config: Compression, coding: bytes) -> None:
    head = reply()
    CompressionStage(config, StreamMemory()).on_reply(context(b"Accept-Encoding: gzip, br, zstd\r\n"), head)
    assert (b"Content-Encoding" in head.lines) is (head.encoder is not None) is bool(coding)
    assert head.lines.endswith(b"Content-Encoding: %b\r\n" % coding) or not coding


def test_the_level_counts() -> None:
    text = b"".join(b"line %d of %d; " % (number, number * number) for number in range(3000))
    sizes = []
    for level in (1, 9):
        head = reply()
        CompressionStage(Compression(enabled=True, level=level), StreamMemory()).on_reply(context(), head)
        assert head.encoder is not None
        sizes.append(len(head.encoder.encode(text) + head.encoder.finish()))
    assert sizes[0] > sizes[1]


def test_event_streams_are_compressed_where_they_are_named() -> None:
    head = ReplyHead(200, STATUS + b"Content-Type: text/event-stream\r\n", BY_CHUNKS)
    CompressionStage(Compression(enabled=True, types=("text/event-stream",)), StreamMemory()).on_reply(context(), head)
    assert head.encoder is not None


def test_a_weakened_tag_goes_back_as_it_was_made(stage: CompressionStage) -> None:
    lines = b'Accept-Encoding: gzip\r\nIf-None-Match: W/"x"\r\n'
    asked = context(lines)
    stage.on_request(asked)
    assert asked.forward == lines  # nothing was weakened so far
    stage.on_reply(asked, reply(HTML + b'ETag: "y"\r\n'))
    stage.on_request(asked)
    assert asked.forward == b'Accept-Encoding: gzip\r\nIf-None-Match: "x"\r\n'


def test_tags_of_a_backend_that_makes_weak_ones_are_left_alone(stage: CompressionStage) -> None:
    lines = b'Accept-Encoding: gzip\r\nIf-None-Match: W/"x"\r\n'
    asked = context(lines)
    stage.on_reply(asked, reply(HTML + b'ETag: W/"x"\r\n'))
    stage.on_request(asked)
    assert asked.forward == lines


NOT_MODIFIED = [
    # if_none_match, the fields of the 304, what becomes of them
    (b'W/"x"', b'ETag: "x"\r\n', b'ETag: W/"x"\r\nVary: Accept-Encoding\r\n'),
    (b'"x"', b'ETag: "x"\r\n', b'ETag: "x"\r\nVary: Accept-Encoding\r\n'),
    (b'W/"x"', b'ETag: W/"x"\r\nVary: Origin\r\n', b'ETag: W/"x"\r\nVary: Origin, Accept-Encoding\r\n'),
    (b'W/"x"', b'ETag: "x"\r\nContent-Type: image/png\r\n', b'ETag: "x"\r\nContent-Type: image/png\r\n'),
    (b'W/"x"', b'ETag: "x"\r\nCache-Control: no-transform\r\n', b'ETag: "x"\r\nCache-Control: no-transform\r\n'),
]


@pytest.mark.parametrize(("named", "fields", "expected"), NOT_MODIFIED)
def test_a_304_fits_the_reply_that_the_client_has(
    stage: CompressionStage, named: bytes, fields: bytes, expected: bytes
) -> None:
    head = ReplyHead(304, b"HTTP/1.1 304 X\r\n" + fields, NO_BODY)
    stage.on_reply(context(b"If-None-Match: %b\r\n" % named), head)
    assert head.lines == b"HTTP/1.1 304 X\r\n" + expected
    assert head.encoder is None


def test_memory_is_bounded_and_given_back() -> None:
    memory = StreamMemory(700_000)
    stage = CompressionStage(Compression(enabled=True), memory)
    heads = [reply() for _ in range(3)]
    for head in heads:
        stage.on_reply(context(), head)
    assert [head.encoder is not None for head in heads] == [True, True, False]
    assert heads[2].lines == b"HTTP/1.1 200 X\r\n" + HTML + b"Vary: Accept-Encoding\r\n"
    for head in heads[:2]:
        assert head.encoder is not None
        head.encoder.close()
        assert head.encoder.encode(b"late") == head.encoder.flush() == head.encoder.finish() == b""
    assert memory.used == 0
    again = reply()
    stage.on_reply(context(), again)
    assert again.encoder is not None


def test_what_is_remembered_is_bounded(stage: CompressionStage) -> None:
    for number in range(100):
        stage.on_reply(context(), reply(HTML + b"X: %d\r\n" % number))
        stage.on_reply(context(), reply(HTML + b"X: " + b"x" * 3000 + b"\r\n"))
    assert len(stage._plans) <= 16
