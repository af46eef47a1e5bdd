"""The WebSocket echo: RFC 6455's violations are answered with the close codes that it names."""

from __future__ import annotations

import pytest

from balance.cli.test_backend.websocket_echo import MAX_FRAME, WebSocketEcho, accept_key, unmask

MASK = b"\x01\x02\x03\x04"


def client_frame(first: int, payload: bytes = b"") -> bytes:
    assert len(payload) < 126
    return bytes((first, 0x80 | len(payload))) + MASK + unmask(payload, MASK)


def test_accept_key_is_the_one_of_the_rfc() -> None:
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_unmasking_is_its_own_inverse() -> None:
    assert unmask(b"Hello", b"\x37\xfa\x21\x3d") == b"\x7f\x9f\x4d\x51\x58"  # the example of section 5.7
    for size in range(9):
        assert unmask(unmask(bytes(range(size)), MASK), MASK) == bytes(range(size))


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (client_frame(0x81, b"hi"), b"\x81\x02hi"),
        (client_frame(0x82, b"\xff"), b"\x82\x01\xff"),
        (client_frame(0x81), b"\x81\x00"),
        (client_frame(0x89, b"there?"), b"\x8a\x06there?"),
        (client_frame(0x8A, b"unasked"), b""),
        (client_frame(0x01, b"a") + client_frame(0x89) + client_frame(0x80, b"b"), b"\x01\x01a\x8a\x00\x80\x01b"),
        (client_frame(0x01, b"\xc3") + client_frame(0x80, b"\xbc"), b"\x01\x01\xc3\x80\x01\xbc"),
    ],
)
def test_reply_is_the_same_however_the_bytes_arrive(sent: bytes, reply: bytes) -> None:
    whole, dripping = WebSocketEcho(), WebSocketEcho()
    assert whole.feed(sent) == reply
    assert b"".join(dripping.feed(bytes((byte,))) for byte in sent) == reply
    assert not whole.is_closed


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(client_frame(0x88), 1000, id="close without a code"),
        pytest.param(client_frame(0x88, b"\x03\xe9bye"), 1001, id="close with a code"),
        pytest.param(client_frame(0x88, b"\x03"), 1002, id="half a close code"),
        pytest.param(b"\x81\x02hi", 1002, id="unmasked"),
        pytest.param(client_frame(0xC1, b"hi"), 1002, id="reserved bit"),
        pytest.param(client_frame(0x83, b"hi"), 1002, id="opcode not in use"),
        pytest.param(client_frame(0x80, b"hi"), 1002, id="continuation of nothing"),
        pytest.param(client_frame(0x01, b"a") + client_frame(0x81, b"b"), 1002, id="message inside a message"),
        pytest.param(client_frame(0x09, b"a"), 1002, id="fragmented ping"),
        pytest.param(b"\x89\xfe\x00\x7e" + MASK + bytes(126), 1002, id="ping of 126 bytes"),
        pytest.param(client_frame(0x81, b"\xff"), 1007, id="text that is not UTF-8"),
        pytest.param(client_frame(0x81, b"\xc3"), 1007, id="text that ends within a character"),
        pytest.param(b"\x82\xff" + (MAX_FRAME + 1).to_bytes(8, "big") + MASK, 1009, id="frame above the bound"),
    ],
)
def test_close_frame_carries_the_code_and_nothing_follows_it(sent: bytes, code: int) -> None:
    echo = WebSocketEcho()
    reply = echo.feed(sent)
    assert echo.is_closed
    close = reply[reply.index(b"\x88") :]
    assert int.from_bytes(close[2:4], "big") == code
    assert echo.feed(client_frame(0x81, b"more")) == b""
