"""gRPC-Web: the frame of trailers, base64 in both directions, content types."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.grpc.content_type import GRPC, NOT_GRPC, WEB, WEB_TEXT, kind_of, with_kind
from balance.grpc.web_frames import TextDecoder, encode_text, trailers_frame


def test_trailers_are_a_frame_with_its_length() -> None:
    frame = trailers_frame(b"Grpc-Status: 0\r\ngrpc-message: all well \r\n")
    block = b"grpc-status:0\r\ngrpc-message:all well\r\n"
    assert frame == b"\x80" + len(block).to_bytes(4, "big") + block


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(1, 7))
def test_base64_padded_at_any_flush_is_decoded_however_it_is_split(parts: list[bytes], step: int) -> None:
    text = b"".join(encode_text(part) for part in parts)
    decoder = TextDecoder()
    out = b"".join(decoder.feed(text[at : at + step]) for at in range(0, len(text), step))
    assert out == b"".join(parts)
    assert decoder.is_whole


def test_groups_that_are_padded_cost_no_more_the_more_there_are() -> None:
    """To copy what is left behind each of these would move a terabyte, and end at the time that a test has."""
    assert TextDecoder().feed((b"AAAA" * 7 + b"AA==") * 250_000) == bytes(22 * 250_000)


@pytest.mark.parametrize("text", [b"ab!d", b"=abc", b"a===", b"ab\ncd==="])
def test_what_is_not_base64_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        TextDecoder().feed(text)


def test_an_incomplete_group_is_told() -> None:
    decoder = TextDecoder()
    assert decoder.feed(base64.b64encode(b"abc") + b"YQ") == b"abc"
    assert not decoder.is_whole


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"application/grpc", GRPC),
        (b"application/grpc+proto", GRPC),
        (b"Application/GRPC;charset=utf-8", GRPC),
        (b"application/grpc-web", WEB),
        (b"application/grpc-web+json", WEB),
        (b"application/grpc-web-text", WEB_TEXT),
        (b"application/grpc-web-text+proto", WEB_TEXT),
        (b"application/grpcx", NOT_GRPC),
        (b"application/grpc-webx", NOT_GRPC),
        (b"application/json", NOT_GRPC),
        (b"", NOT_GRPC),
    ],
)
def test_kinds(value: bytes, kind: int) -> None:
    assert kind_of(value) == kind


def test_the_encoding_of_messages_stays_when_the_kind_changes() -> None:
    assert with_kind(b"application/grpc-web-text+proto", GRPC) == b"application/grpc+proto"
    assert with_kind(b"application/grpc+json", WEB) == b"application/grpc-web+json"
    assert with_kind(b"application/grpc", WEB_TEXT) == b"application/grpc-web-text"
