"""What a backend is told of the client, believed or not (SPEC 4.2, RFC 7239)."""

import ipaddress

import pytest
from reading import PLAIN

from balance.http1.forward import client_address, continued, introduction, is_trusted
from balance.http1.head import RequestFields
from balance.http1.request import RequestReader

TRUSTED = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def fields(*lines: bytes, host: bytes = b"a.example") -> RequestFields:
    """The fields of a request with these lines besides its Host."""
    head = b"".join(line + b"\r\n" for line in (b"GET / HTTP/1.1", b"Host: " + host, *lines)) + b"\r\n"
    return RequestReader(PLAIN).read(head).fields


@pytest.mark.parametrize(
    ("style", "peer", "via", "before", "after"),
    [
        ("none", "192.0.2.1", False, b"", b""),
        ("none", "192.0.2.1", True, b"Via: 1.1 balance\r\n", b""),
        ("rfc7239", "192.0.2.1", False, b'Forwarded: for=192.0.2.1;proto=http;host="', b'"\r\n'),
        ("rfc7239", "2001:db8::1", False, b'Forwarded: for="[2001:db8::1]";proto=http;host="', b'"\r\n'),
        (
            "xff",
            "2001:db8::1",
            True,
            b"Via: 1.1 balance\r\nX-Forwarded-For: 2001:db8::1\r\nX-Real-IP: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n"
            b"X-Forwarded-Port: 8080\r\nX-Forwarded-Host: ",
            b"\r\n",
        ),
        (
            "both",
            "192.0.2.1",
            False,
            b"Forwarded: for=192.0.2.1;proto=http\r\nX-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n"
            b"X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\nX-Forwarded-Host: ",
            b"\r\n",
        ),
    ],
)
def test_client_is_introduced_by_what_we_saw_of_it(style: str, peer: str, via: bool, before: bytes, after: bytes) -> None:
    assert introduction(style, peer, 8080, "http", via=via) == (before, after)


@pytest.mark.parametrize(
    ("style", "said", "goes_on"),
    [
        (
            "xff",
            [b"X-Forwarded-For: 192.0.2.9", b"X-Forwarded-Proto: https", b"Forwarded: for=x"],
            b"X-Forwarded-For: 192.0.2.9, 10.0.0.1\r\nX-Real-IP: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n"
            b"X-Forwarded-Port: 80\r\nX-Forwarded-Host: a.example\r\n",
        ),
        (
            "xff",
            [b"X-Forwarded-For: 1.1.1.1, 192.0.2.9", b"X-Forwarded-For: 10.0.0.2", b"X-Real-IP: 6.6.6.6",
             b"X-Forwarded-Host: o"],
            b"X-Forwarded-For: 1.1.1.1, 192.0.2.9, 10.0.0.2, 10.0.0.1\r\nX-Real-IP: 192.0.2.9\r\nX-Forwarded-Proto: http\r\n"
            b"X-Forwarded-Port: 80\r\nX-Forwarded-Host: o\r\n",
        ),
        (
            "xff",
            [],
            b"X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n"
            b"X-Forwarded-Host: a.example\r\n",
        ),
        (
            "rfc7239",
            [b'Forwarded: for="[2001:db8::1]"', b"X-Forwarded-For: 1.1.1.1"],
            b'Forwarded: for="[2001:db8::1]", for=10.0.0.1;proto=http;host="a.example"\r\n',
        ),
        ("none", [b"X-Forwarded-For: 1.1.1.1"], b""),
    ],
)  # fmt: skip
def test_trusted_proxy_is_continued(style: str, said: list[bytes], goes_on: bytes) -> None:
    assert continued(style, fields(*said), "10.0.0.1", 80, "http", TRUSTED, via=False) == goes_on


def test_both_styles_and_via_can_go_on_together() -> None:
    lines = continued("both", fields(), "fd00::1", 80, "https", TRUSTED, via=True).split(b"\r\n")
    assert lines[:3] == [
        b"Via: 1.1 balance",
        b'Forwarded: for="[fd00::1]";proto=https;host="a.example"',
        b"X-Forwarded-For: fd00::1",
    ]


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("192.0.2.1", b"1.1.1.1", "192.0.2.1"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", b"1.1.1.1, 2.2.2.2", "2.2.2.2"),
        ("10.0.0.1", b"1.1.1.1,10.0.0.9 , 10.0.0.8", "1.1.1.1"),
        ("10.0.0.1", b"10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("10.0.0.1", b"1.1.1.1, rubbish, 10.0.0.8", "10.0.0.8"),
        ("10.0.0.1", b"rubbish", "10.0.0.1"),
        ("10.0.0.1", b"1.1.1.1:80", "10.0.0.1"),
        ("fd00::1", b"2001:DB8::1", "2001:db8::1"),
        ("unknown", b"1.1.1.1", "unknown"),
    ],
)
def test_client_is_the_first_from_the_right_that_is_not_trusted(peer: str, said: bytes, client: str) -> None:
    assert client_address(fields(b"X-Forwarded-For: " + said), peer, TRUSTED) == client


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.0.0.1", False),
        ("fd12::1", True),
        ("fe80::1", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_trust_is_a_matter_of_networks(peer: str, trusted: bool) -> None:
    assert is_trusted(peer, TRUSTED) is trusted
    assert not is_trusted(peer, ())
