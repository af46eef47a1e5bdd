"""Headers of the PROXY protocol: whole, cut anywhere, and wrong."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.proxy_protocol.crc32c import crc32c
from balance.proxy_protocol.header_parser import MAX_HEADER, SIGNATURE, MalformedHeaderError, ProxyHeader, parse_header
from balance.proxy_protocol.header_writer import header, local_header


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(body) if length is None else length).to_bytes(2, "big") + body


INET = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + (56324).to_bytes(2, "big") + (443).to_bytes(2, "big")
INET6 = ipaddress.IPv6Address("2001:db8::1").packed + ipaddress.IPv6Address("2001:db8::2").packed + b"\xdc\x04\x01\xbb"
MAPPED = ipaddress.IPv6Address("::ffff:192.0.2.1").packed * 2 + b"\xdc\x04\x01\xbb"
CLIENT = ("192.0.2.1", 56324)


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def with_crc(body: bytes, crc: int | None = None) -> bytes:
    empty = v2(0x21, 0x11, body + tlv(3, bytes(4)) + tlv(1, b"h2"))
    found = (crc32c(empty) if crc is None else crc).to_bytes(4, "big")
    return v2(0x21, 0x11, body + tlv(3, found) + tlv(1, b"h2"))


GOOD: list[tuple[bytes, tuple[str, int] | None]] = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", CLIENT),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ("255.255.255.255", 65535)),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", ("2001:db8::1", 56324)),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 56324 443\r\n", CLIENT),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 0 0\r\n", ("192.0.2.1", 0)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 junk \x01 65535\r\n", None),
    (v2(0x21, 0x11, INET), CLIENT),
    (v2(0x21, 0x21, INET6), ("2001:db8::1", 56324)),
    (v2(0x21, 0x21, MAPPED), CLIENT),
    (v2(0x21, 0x11, INET + tlv(0x02, b"example.org") + tlv(0x20, b"\1" * 40) + tlv(0xEE, b"")), CLIENT),
    (v2(0x21, 0x11, INET + tlv(0x04, bytes(4000))), CLIENT),
    (with_crc(INET), CLIENT),
    (v2(0x20, 0x00, b""), None),  # LOCAL
    (v2(0x20, 0x11, INET), None),
    (v2(0x20, 0xFF, b"anything"), None),
    (v2(0x21, 0x00, b""), None),  # UNSPEC
    (v2(0x21, 0x00, b"\1\2\3"), None),
    (v2(0x21, 0x31, bytes(216)), None),  # AF_UNIX
    (v2(0x21, 0x12, INET), None),  # datagrams
    (v2(0x21, 0x10, INET), None),
]


@pytest.mark.parametrize(("data", "source"), GOOD)
def test_a_header_is_read_wherever_it_is_cut_and_whatever_follows(data: bytes, source: tuple[str, int] | None) -> None:
    for size in range(len(data)):
        assert parse_header(data[:size]) is None, size
    expected = ProxyHeader(len(data), source)
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\r\n" + SIGNATURE, b"PROXY UNKNOWN\r\n"):
        assert parse_header(data + rest) == expected


BAD: list[tuple[bytes, str]] = [
    (b"G", "begins otherwise"),
    (b"\x16\x03\x01", "begins otherwise"),
    (b"\0", "begins otherwise"),
    (b"\r\n\r\nG", "begins otherwise"),
    (b"PROXX", "begins otherwise"),
    (b"PROXY\t", "begins otherwise"),
    (b"proxy TCP4", "begins otherwise"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n", "without a CR"),
    (b"PROXY UNKNOWN\n", "without a CR"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443" + b" " * 80, "more than 107"),
    (b"PROXY UNKNOWN " + b"x" * 93, "more than 107"),
    (b"PROXY \r\n", "not TCP4"),
    (b"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", "not TCP4"),
    (b"PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n", "not TCP4"),
    (b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", "not TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", "not TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", "not TCP4"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", "not TCP4"),
    (b"PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n", "addresses"),
    (b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", "addresses"),
    (b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "addresses"),
    (b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", "addresses"),
    (b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", "zone"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", "port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", "port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n", "port"),
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 +2\r\n", "port"),
    (b"PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n", "addresses"),
    ("PROXY TCP4 192.0.2.1 198.51.100.2 １ 2\r\n".encode(), "ASCII"),
    (v2(0x11, 0x11, INET), "version or command"),
    (v2(0x31, 0x11, INET), "version or command"),
    (v2(0x22, 0x11, INET), "version or command"),
    (v2(0x21, 0x41, INET), "family or transport"),
    (v2(0x21, 0x13, INET), "family or transport"),
    (v2(0x21, 0x11, INET[:4]), "too short"),
    (v2(0x21, 0x11, b""), "too short"),
    (v2(0x21, 0x21, INET), "too short"),
    (v2(0x21, 0x31, INET6), "too short"),
    (v2(0x21, 0x11, INET, MAX_HEADER - 15), "more than 4096"),
    (v2(0x20, 0x00, b"", 65535), "more than 4096"),
    (v2(0x21, 0x11, INET + b"\x04"), "cut off"),
    (v2(0x21, 0x11, INET + b"\x04\0"), "cut off"),
    (v2(0x21, 0x11, INET + b"\x04\0\5abcd"), "longer than the rest"),
    (v2(0x21, 0x11, INET + tlv(3, b"abc")), "not 4 bytes"),
    (with_crc(INET, 0), "checksum is wrong"),
    (with_crc(INET, 0xFFFFFFFF), "checksum is wrong"),
]


@pytest.mark.parametrize(("data", "why"), BAD)
def test_what_is_no_header_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(MalformedHeaderError, match=why):
        parse_header(data)
    for size in range(1, len(data)):  # sooner or later, but never taken for another header
        try:
            assert parse_header(data[:size]) is None
        except MalformedHeaderError:
            break


def test_no_byte_at_all_is_no_header_yet() -> None:
    assert parse_header(b"") is None


_ADDRESSES = st.tuples(st.ip_addresses(), st.integers(0, 65535))


@given(st.sampled_from(["v1", "v2"]), _ADDRESSES, _ADDRESSES, st.binary(), st.data())
def test_what_is_written_is_read_again_however_it_is_cut(
    version: str, source: tuple[object, int], destination: tuple[object, int], rest: bytes, data: st.DataObject
) -> None:
    made = header(version, (str(source[0]), source[1]), (str(destination[0]), destination[1]))
    cut = data.draw(st.integers(0, len(made) - 1))
    assert parse_header(made[:cut]) is None
    found = parse_header(made + rest)
    assert found is not None
    assert found.length == len(made)
    assert found.source is not None
    address = ipaddress.ip_address(str(source[0]))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    zone_free = ipaddress.ip_address(str(mapped or address).partition("%")[0])
    assert found.source == (str(zone_free), source[1])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_header_or_refused_or_wanting(data: bytes) -> None:
    for begin in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"):
        try:
            found = parse_header(begin + data)
        except MalformedHeaderError as error:
            assert str(error).isprintable()
        else:
            assert found is None or found.length <= len(begin + data)


def test_headers_of_our_own_name_nobody() -> None:
    for version in ("v1", "v2"):
        found = parse_header(local_header(version))
        assert found == ProxyHeader(len(local_header(version)), None)
