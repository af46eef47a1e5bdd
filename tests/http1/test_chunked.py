"""Chunked bodies: the same result however they are split into reads."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import payload
from request_cases import CHUNKED as HEAD
from request_cases import CHUNKS, MORE, TRAILERS

from balance.http1.chunked import EXTENSION_RATIO, FREE_EXTENSION, MAX_EXCESS, ChunkedBody
from balance.http1.framing import Framing

BODIES = [(case.name, case.sent.removeprefix(HEAD)) for case in (*CHUNKS, *TRAILERS) if len(case.sent) < 2000]


def fed(pieces: list[bytes], *, decode: bool = False, underscores: str = "drop") -> tuple[bytes, bool, bytes] | str:
    """What goes on of a body that comes in `pieces`, whether it ended, and what follows it; or that it is refused."""
    body = ChunkedBody(decode=decode, underscores=underscores)
    out = b""
    try:
        for number, piece in enumerate(pieces):
            out += body.feed(piece)
            if body.is_done:
                return out, True, body.rest + b"".join(pieces[number + 1 :])
    except ValueError:
        return "refused"
    return out, False, b""


def cut(data: bytes, marks: list[int]) -> list[bytes]:
    """`data` in pieces that end at `marks`."""
    edges = [0, *sorted(mark % (len(data) + 1) for mark in marks), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(("name", "body"), BODIES, ids=[name for name, _ in BODIES])
@pytest.mark.parametrize("decode", [False, True], ids=["passed on", "decoded"])
@pytest.mark.parametrize("lines", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 2000])
def test_body_reads_the_same_some_lines_at_once(name: str, body: bytes, decode: bool, lines: int, size: int) -> None:
    whole = fed([body], decode=decode)
    chunked = ChunkedBody(decode=decode)
    chunked.lines_at_once = lines
    out, left = b"", b""
    try:
        for start in range(0, len(body), size):
            left += body[start : start + size]
            while left and not chunked.is_done:
                out += chunked.feed(left)
                left = chunked.rest
        found: tuple[bytes, bool, bytes] | str = (out, chunked.is_done, left if chunked.is_done else b"")
    except ValueError:
        found = "refused"
    assert found == whole


def test_no_more_lines_are_read_at_once_than_is_said() -> None:
    body = ChunkedBody()
    body.lines_at_once = 64
    sent = b"1\r\nx\r\n" * 1000 + b"0\r\n" + b"a: b\r\n" * 100 + b"\r\n"
    steps, left = [], sent
    while not body.is_done:
        steps.append(len(left))
        body.feed(left)
        left = body.rest
    assert body.payload == 1000
    assert len(steps) == (1000 + 1 + 100 + 1) // 64 + 1


@pytest.mark.parametrize(("name", "body"), BODIES, ids=[name for name, _ in BODIES])
@pytest.mark.parametrize("decode", [False, True], ids=["passed on", "decoded"])
def test_body_reads_the_same_split_at_every_byte(name: str, body: bytes, decode: bool) -> None:
    whole = fed([body], decode=decode)
    for at in range(len(body) + 1):
        halves = fed([body[:at], body[at:]], decode=decode)
        assert halves == whole or (whole[1:] == halves[1:] == (False, b""))
    assert settled(fed([body[at : at + 1] for at in range(len(body))], decode=decode)) == settled(whole)


def settled(read: tuple[bytes, bool, bytes] | str) -> tuple[bytes, bool, bytes] | str:
    """What may not depend on the reads: of a body that has not ended, how much has gone on may."""
    return read if isinstance(read, str) or read[1] else MORE


@given(st.sampled_from([body for _, body in BODIES]), st.lists(st.integers(0, 4000), max_size=8), st.booleans())
def test_body_reads_the_same_in_random_pieces(body: bytes, marks: list[int], decode: bool) -> None:
    assert settled(fed(cut(body, marks), decode=decode)) == settled(fed([body], decode=decode))


def encoded(chunks: list[bytes], extensions: list[bytes]) -> bytes:
    out = b""
    for number, chunk in enumerate(chunk for chunk in chunks if chunk):
        extension = extensions[number % len(extensions)] if extensions else b""
        out += b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk)
    return out + b"0\r\n\r\n"


EXTENSIONS = st.lists(st.sampled_from([b"", b";a", b";a=b", b';a="b;c"']), max_size=3)
REST = st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"\r\n", b"0\r\n\r\n"])


@given(st.lists(st.binary(max_size=40), max_size=8), EXTENSIONS, REST, st.lists(st.integers(0, 400), max_size=6))
def test_decoding_gives_the_payload_that_was_encoded(
    chunks: list[bytes], extensions: list[bytes], rest: bytes, marks: list[int]
) -> None:
    content = b"".join(chunks)
    assert fed(cut(encoded(chunks, extensions) + rest, marks), decode=True) == (content, True, rest)


@given(st.lists(st.binary(max_size=40), max_size=8), EXTENSIONS, st.lists(st.integers(0, 400), max_size=6))
def test_chunks_go_on_without_extensions_and_with_their_payload(
    chunks: list[bytes], extensions: list[bytes], marks: list[int]
) -> None:
    read = fed(cut(encoded(chunks, extensions), marks))
    assert read == (encoded(chunks, []), True, b"")
    assert payload(Framing.CHUNKED, read[0]) == b"".join(chunks)


@pytest.mark.parametrize(
    ("trailers", "go_on"),
    [
        (b"X-Sum: 1\r\n", b"X-Sum: 1\r\n"),
        (b"Host: evil\r\nX-Sum: 1\r\nAuthorization: y\r\n", b"X-Sum: 1\r\n"),
        (b"Content-Length: 5\r\ncookie: c\r\nX-Forwarded-For: 1\r\nX_Y: z\r\n", b""),
        (b"Set-Cookie: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTE: trailers\r\n", b""),
    ],
)
def test_trailers_that_mean_something_before_the_body_are_dropped(trailers: bytes, go_on: bytes) -> None:
    sent = b"5\r\nhello\r\n0\r\n"
    assert fed([sent + trailers + b"\r\n"]) == (sent + go_on + b"\r\n", True, b"")
    assert fed([sent + trailers + b"\r\n"], decode=True) == (b"hello", True, b"")
    decoded = ChunkedBody(decode=True)
    decoded.feed(sent + trailers + b"\r\n")
    assert decoded.trailers == go_on


def test_payload_counts_content_alone() -> None:
    body = ChunkedBody()
    body.feed(b"5;a=b\r\nhello\r\nA\r\n01234")
    assert body.payload == 10
    body.feed(b"56789\r\n0\r\nX: y\r\n\r\n")
    assert body.payload == 15


@pytest.mark.parametrize(
    "endless",
    [b"0" * 2000, b"5;" + b"x" * 2000, b"0\r\n" + b"X" * 9000, b"0\r\nX: " + b"y" * 9000, b"0\r\n" + b"X: y\r\n" * 2000],
    ids=["size", "extension", "trailer name", "trailer value", "trailers"],
)
def test_line_without_an_end_is_refused_before_it_fills_memory(endless: bytes) -> None:
    body = ChunkedBody()
    with pytest.raises(ValueError, match="more than"):
        for at in range(len(endless)):
            body.feed(endless[at : at + 1])
    assert len(body._buffer) <= 8192


def chunk(content: bytes, extension: int) -> bytes:
    """One with `extension` bytes of extensions, the semicolon among them."""
    return b"%x%b\r\n%b\r\n" % (len(content), (b";" + b"x" * (extension - 1))[:extension], content)


def test_flood_of_tiny_chunks_with_long_extensions_is_refused() -> None:
    body = ChunkedBody()
    over = 100 - FREE_EXTENSION - EXTENSION_RATIO
    for _ in range(MAX_EXCESS // over):
        body.feed(chunk(b"h", 100))
    with pytest.raises(ValueError, match="more chunk extensions than content"):
        body.feed(chunk(b"h", 100))


@pytest.mark.parametrize(
    ("content", "extension"),
    [(b"h", FREE_EXTENSION + EXTENSION_RATIO), (b"data: x\n\n", 68), (b"x" * 16, 96), (b"x" * 56, 256), (b"x" * 1000, 85)],
)
def test_long_stream_may_have_extensions_in_every_chunk(content: bytes, extension: int) -> None:
    body = ChunkedBody()
    stream = chunk(content, extension) * 100
    for _ in range(100):
        assert body.feed(stream) == chunk(content, 0) * 100
    assert body.payload == 10_000 * len(content)


@pytest.mark.parametrize("between", [[(b"x" * 4096, 0)], [(b"x" * 4096, 40)], [(b"hello", 0)] * 320])
def test_chunks_that_take_less_than_their_due_pay_for_those_that_took_more(between: list[tuple[bytes, int]]) -> None:
    body = ChunkedBody()
    for _ in range(20):
        for _ in range(70):  # of 220 bytes beyond their due each: 15 KB
            body.feed(chunk(b"h", 256))
        for content, extension in between:
            body.feed(chunk(content, extension))


@pytest.mark.parametrize(
    ("setting", "go_on"), [("drop", b"X-Sum: 1\r\n"), ("pass", b"X_Y: z\r\nX-Sum: 1\r\n"), ("reject", None)]
)
def test_trailers_with_an_underscore_are_dropped_passed_or_refused(setting: str, go_on: bytes | None) -> None:
    sent = b"5\r\nhello\r\n0\r\n"
    outcome = "refused" if go_on is None else (sent + go_on + b"\r\n", True, b"")
    assert fed([sent + b"X_Y: z\r\nX-Sum: 1\r\n\r\n"], underscores=setting) == outcome


TAILS = (
    b"0\r\nGrpc-Status: 0\r\n\r\n",
    b"0\r\na_b: 1\r\nC: 2\r\n\r\n",
    b"0\r\nContent-Length: 5\r\nC: 2\r\n\r\n",
    b"0;a=b\r\nC: 2\r\n\r\n",
    b"0\r\nno field\r\n\r\n",
    b"0\r\nC: 2\r\n\r\nGET",
    b"0\r\nC: 2\r\n",
)


@pytest.mark.parametrize("tail", TAILS)
def test_an_end_that_was_read_before_is_read_the_same(tail: bytes) -> None:
    for underscores in ("pass", "drop", "pass"):
        found = set()
        for content in (b"", b"2\r\nab\r\n", b"2\r\nab\r\n"):
            body = ChunkedBody(decode=True, underscores=underscores)
            try:
                assert body.feed(content + tail) == (b"ab" if content else b"")
            except ValueError as error:
                found.add(str(error))
            else:
                found.add((body.trailers, body.is_done, body.rest, body.buffered))
        assert len(found) == 1
        assert ("a_b" in str(found)) == (b"a_b" in tail and underscores == "pass")


def test_an_end_that_was_read_before_is_held_to_the_bounds() -> None:
    end = b"0\r\nGrpc-Status: 0\r\n\r\n"
    assert ChunkedBody(decode=True).feed(end) == b""
    with pytest.raises(ValueError, match="trailers of more than 8 bytes"):
        ChunkedBody(decode=True, trailers_limit=8).feed(end)
    slow = ChunkedBody(decode=True)
    slow.lines_at_once = 1
    slow.feed(end)
    assert not slow.is_done
    assert slow.rest
