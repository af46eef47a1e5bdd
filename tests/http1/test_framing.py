"""Message body length for every combination of its fields (RFC 9112 section 6.3)."""

import pytest

from balance.errors import ProtocolError
from balance.http1.framing import Framing, content_length, is_chunked, request_framing, response_framing, show

NONE, LENGTH, CHUNKED, UNTIL_CLOSE = Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.UNTIL_CLOSE


@pytest.mark.parametrize(("value", "length"), [(b"0", 0), (b"5", 5), (b"005", 5), (b"9" * 18, 10**18 - 1)])
def test_length_is_a_plain_number(value: bytes, length: int) -> None:
    assert content_length([value]) == length


@pytest.mark.parametrize("values", [[], [b"5", b"5"], [b"5", b"6"], [b""], [b"+5"], [b"5,5"], [b"5\n"], [b"9" * 19], [b"\xb2"]])
def test_length_that_is_not_one_plain_number_is_malformed(values: list[bytes]) -> None:
    with pytest.raises(ValueError):
        content_length(values)


@pytest.mark.parametrize(
    ("values", "known"),
    [([b"chunked"], True), ([b"CHUNKED"], True), ([b"gzip, chunked"], False), ([b"a,b , \tchunked"], False)],
)
def test_coding_ends_in_one_chunked(values: list[bytes], known: bool) -> None:
    assert is_chunked(values) is known


@pytest.mark.parametrize(
    "values",
    [[], [b"chunked", b"chunked"], [b""], [b"gzip"], [b"identity, chunked"], [b"chunked, chunked"], [b"chunked,"],
     [b"a b, chunked"]],
)  # fmt: skip
def test_coding_that_hides_the_end_is_malformed(values: list[bytes]) -> None:
    with pytest.raises(ValueError):
        is_chunked(values)


@pytest.mark.parametrize(
    ("lengths", "codings", "minor", "framing"),
    [
        ([], [], 1, (NONE, 0)),
        ([b"0"], [], 1, (NONE, 0)),
        ([b"5"], [], 1, (LENGTH, 5)),
        ([b"5"], [], 0, (LENGTH, 5)),
        ([], [b"chunked"], 1, (CHUNKED, 0)),
        ([], [b"chunked"], 0, 400),
        ([b"5"], [b"chunked"], 1, 400),
        ([b"5"], [b"chunked"], 0, 400),
        ([b"x"], [], 1, 400),
        ([b"5", b"5"], [], 1, 400),
        ([], [b"x"], 1, 400),
        ([], [b"x, chunked"], 1, 501),
        ([b"5"], [b"x, chunked"], 1, 400),
    ],
)
def test_request_has_one_framing_or_is_refused(
    lengths: list[bytes], codings: list[bytes], minor: int, framing: tuple[Framing, int] | int
) -> None:
    try:
        read: tuple[Framing, int] | int = request_framing(lengths, codings, minor)
    except ProtocolError as error:
        read = error.status
    assert read == framing


@pytest.mark.parametrize(
    ("status", "lengths", "codings", "minor", "framing"),
    [
        (200, [], [], 1, (UNTIL_CLOSE, 0)),
        (200, [b"0"], [], 1, (NONE, 0)),
        (200, [b"5"], [], 0, (LENGTH, 5)),
        (200, [], [b"chunked"], 1, (CHUNKED, 0)),
        (200, [], [b"chunked"], 0, 502),
        (200, [], [b"gzip, chunked"], 1, 502),
        (200, [], [b"gzip"], 1, 502),
        (200, [b"5"], [b"chunked"], 1, 502),
        (200, [b"5", b"5"], [], 1, 502),
        (100, [], [], 1, (NONE, 0)),
        (101, [b"5"], [], 1, (NONE, 0)),
        (103, [], [b"chunked"], 1, 502),
        (204, [b"5"], [], 1, (NONE, 0)),
        (204, [], [b"chunked"], 1, 502),
        (205, [], [], 1, (UNTIL_CLOSE, 0)),
        (304, [b"5"], [], 1, (NONE, 0)),
        (304, [], [b"chunked"], 1, (NONE, 0)),
        (304, [b"5"], [b"chunked"], 1, 502),
        (304, [b"x"], [], 1, 502),
    ],
)
def test_reply_has_one_framing_or_is_refused(
    status: int, lengths: list[bytes], codings: list[bytes], minor: int, framing: tuple[Framing, int] | int
) -> None:
    try:
        read: tuple[Framing, int] | int = response_framing(lengths, codings, minor, status)
    except ProtocolError as error:
        read = error.status
    assert read == framing


def test_shown_bytes_are_short_quoted_ascii() -> None:
    assert show(b"a'b\xe9\x00\r\n") == '"a\'b\\xe9\\x00\\r\\n"'
    assert show(b"x" * 1000) == repr("x" * 60)
