"""The host of a request, and equivalence of authorities."""

from __future__ import annotations

import pytest
from reading import PLAIN

from balance.errors import ProtocolError
from balance.http1.host import is_same, origin_form, port_of, split_host
from balance.http1.request import RequestReader


@pytest.mark.parametrize(
    ("one", "other", "default_port", "same"),
    [
        (b"h", b"h", 80, True),
        (b"h", b"H", 80, True),
        (b"h:80", b"h", 80, True),
        (b"h", b"h:80", 80, True),
        (b"h:", b"h", 80, True),
        (b"h:", b"h:80", 80, True),
        (b"h:080", b"h:80", 80, True),
        (b"h:443", b"h", 443, True),
        (b"h:8080", b"h:8080", 80, True),
        (b"[::1]:80", b"[::1]", 80, True),
        (b"[::1]:", b"[0:0:0:0:0:0:0:1]", 80, True),
        (b"[2001:DB8::A]", b"[2001:db8:0::a]:443", 443, True),
        (b"h:443", b"h", 80, False),
        (b"h:80", b"h", 443, False),
        (b"h:8080", b"h", 80, False),
        (b"h", b"h.", 80, False),
        (b"h", b"g", 80, False),
        (b"[::1]", b"[::2]", 80, False),
        (b"[::1]", b"::1", 80, False),
        (b"[1.2.3.4]", b"1.2.3.4", 80, False),
        (b"u@h", b"h", 80, False),
        (b"u@h", b"u@h", 80, False),
        (b"", b"", 80, False),
        (b":80", b":80", 80, False),
        (b"h%2e", b"h%2e", 80, False),
        (b"h:65535", b"h:65535", 80, True),
        (b"h:65536", b"h:65536", 80, False),
    ],
)
def test_hosts_are_the_same_whatever_way_they_are_written(one: bytes, other: bytes, default_port: int, same: bool) -> None:
    assert is_same(one, other, default_port) is same
    assert is_same(other, one, default_port) is same


@pytest.mark.parametrize(
    ("target", "host", "goes_on_as"),
    [
        (b"http://h:80/a", b"h", b"h"),
        (b"http://h/a", b"h:80", b"h:80"),
        (b"https://h:443/a", b"h", b"h"),
        (b"http://h:/a", b"h", b"h"),
        (b"http://h/a", b"h:", b"h"),
        (b"http://[::1]:80/a", b"[0:0:0:0:0:0:0:1]", b"[0:0:0:0:0:0:0:1]"),
        (b"/a", b"h:", b"h"),
        (b"/a", b"[::1]:", b"[::1]"),
        (b"/a", b"h!$&+:8080", b"h!$&+:8080"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("more", "kept"), [(b"", b""), (b"X: y\r\nConnection: x\r\n", b""), (b"Accept: */*\r\n", b"Accept: */*\r\n")]
)
def test_the_host_goes_on_as_the_field_says_without_an_empty_port(
    target: bytes, host: bytes, goes_on_as: bytes, more: bytes, kept: bytes
) -> None:
    reader = RequestReader(PLAIN)
    for _ in range(2):  # also from the memory of heads
        request = reader.read(b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, host, more))
        assert (request.line, request.fields.host) == (b"GET /a HTTP/1.1\r\n", goes_on_as)
        lines = request.fields.forward.splitlines(True)
        assert sorted(lines) == sorted([b"Host: " + goes_on_as + b"\r\n", *([kept] if kept else [])])


def test_the_target_s_host_is_the_host_of_http_1_0_without_one() -> None:
    fields = RequestReader(PLAIN).read(b"GET http://h:8080/a HTTP/1.0\r\nX: y\r\n\r\n").fields
    assert (fields.host, fields.forward) == (b"h:8080", b"Host: h:8080\r\nX: y\r\n")


@pytest.mark.parametrize(
    "target", [b"http://u@h/", b"http://:80/", b"http:///", b"http://h,g/", b"http://a b/", b"http://h:65536/"]
)
def test_a_target_whose_host_is_none_is_refused_in_http_1_0_too(target: bytes) -> None:
    with pytest.raises(ProtocolError):
        origin_form(b"GET", target, None, 0)


@pytest.mark.parametrize(("host", "port"), [(b"h", 0), (b"h:81", 81), (b"[::1]", 0), (b"[::1]:81", 81), (b"h:", 0), (b"", 0)])
def test_a_port_is_what_stands_behind_the_host(host: bytes, port: int) -> None:
    assert port_of(host) == port


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        (b"a:80", (b"a", b"80")),
        (b"A.", (b"A.", b"")),
        (b"[::1]:8080", (b"[::1]", b"8080")),
        (b"a:", (b"a", b"")),
        (b"", (b"", b"")),
    ],
)
def test_host_has_a_name_and_maybe_a_port(host: bytes, parts: tuple[bytes, bytes]) -> None:
    assert split_host(host) == parts
