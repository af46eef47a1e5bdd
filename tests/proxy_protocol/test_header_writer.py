"""The header that is sent to backends, byte by byte."""

from typing import Any

import pytest

from balance.proxy_protocol.header_parser import SIGNATURE
from balance.proxy_protocol.header_writer import header, local_header

FOUR, SIX = ("192.0.2.1", 56324), ("2001:db8::1", 56324, 0, 0)


@pytest.mark.parametrize(
    ("version", "source", "destination", "made"),
    [
        ("v1", FOUR, ("198.51.100.2", 443), b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"),
        ("v1", SIX, ("2001:db8::2", 443, 0, 0), b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"),
        (
            "v1",
            ("::ffff:192.0.2.1", 5, 0, 0),
            ("::ffff:198.51.100.2", 443, 0, 0),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 5 443\r\n",
        ),
        ("v1", SIX, ("198.51.100.2", 443), b"PROXY TCP6 2001:db8::1 ::ffff:c633:6402 56324 443\r\n"),
        ("v1", FOUR, "/run/front.sock", b"PROXY TCP4 192.0.2.1 0.0.0.0 56324 0\r\n"),
        ("v1", ("fe80::1%eth0", 5, 0, 2), ("fe80::2", 443, 0, 2), b"PROXY TCP6 fe80::1 fe80::2 5 443\r\n"),
        ("v1", "", "/run/front.sock", b"PROXY UNKNOWN\r\n"),
        ("v1", None, None, b"PROXY UNKNOWN\r\n"),
        (
            "v2",
            FOUR,
            ("198.51.100.2", 443),
            SIGNATURE + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 198, 51, 100, 2, 220, 4, 1, 187]),
        ),
        ("v2", "", "", SIGNATURE + b"\x21\0\0\0"),
    ],
)
def test_it_says_who_the_client_is(version: str, source: Any, destination: Any, made: bytes) -> None:
    assert header(version, source, destination) == made


def test_health_checks_are_local() -> None:
    assert local_header("v1") == b"PROXY UNKNOWN\r\n"
    assert local_header("v2") == SIGNATURE + b"\x20\0\0\0"
