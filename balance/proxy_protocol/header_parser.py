"""Reads the header of the PROXY protocol, v1 and v2 (HAProxy's doc/proxy-protocol.txt), from the first bytes of a connection.

The bytes are looked at again whenever more have come, so a header may be cut anywhere. What can't become a header is refused at
its first wrong byte. A header that names nobody (LOCAL, UNKNOWN, an unspecified or unsupported family) is good: the address is
the connection's own, as the specification says.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from balance.access_lists.address_range import unmapped
from balance.proxy_protocol.crc32c import crc32c

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
MAX_HEADER: Final = 4096  # bytes; nginx's bound. The length field of v2 would allow 65,551
_MAX_V1: Final = 107  # its CRLF included
_V1: Final = b"PROXY "
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_FIXED: Final = 16  # bytes of v2 before the addresses

_PROXY: Final = 1
_INET: Final = 1
_INET6: Final = 2
_STREAM: Final = 1
_MAX_FAMILY: Final = 3  # AF_UNIX
_MAX_TRANSPORT: Final = 2  # DGRAM
_ADDRESS_BYTES: Final = (0, 12, 36, 216)  # by family
_TLV_HEAD: Final = 3
_TYPE_CRC32C: Final = 0x03


class MalformedHeaderError(Exception):
    """These bytes are no header of the PROXY protocol; the text says why."""


class ProxyHeader(NamedTuple):
    """A whole header: its length in bytes, and the client's address and port, None where it names nobody."""

    length: int
    source: tuple[str, int] | None


def parse_header(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with; None while more bytes are needed. MalformedHeaderError when it can't be one."""
    if data[:1] == b"P":
        return _parse_v1(data)
    if not SIGNATURE.startswith(data[:12]):
        raise MalformedHeaderError("it begins otherwise")
    return _parse_v2(data) if len(data) >= _FIXED else None


def _parse_v1(data: bytes) -> ProxyHeader | None:
    if not data.startswith(_V1[: len(data)]):
        raise MalformedHeaderError("it begins otherwise")
    end = data.find(b"\n", 0, _MAX_V1)
    if end < 0:
        if len(data) >= _MAX_V1:
            raise MalformedHeaderError(f"a v1 header of more than {_MAX_V1} bytes")
        return None
    if data[end - 1 : end] != b"\r":
        raise MalformedHeaderError("a v1 header that ends without a CR")
    try:
        words = data[: end - 1].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise MalformedHeaderError("a v1 header with other than ASCII") from None
    if words[1] == "UNKNOWN":
        return ProxyHeader(end + 1, None)  # whatever follows is ignored
    if words[1] not in ("TCP4", "TCP6") or len(words) != 6:
        raise MalformedHeaderError("a v1 header that is not TCP4, TCP6 or UNKNOWN with two addresses and two ports")
    kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]
    kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
    _, _, source, destination, source_port, destination_port = words
    try:
        address, _ = kind(source), kind(destination)
    except ValueError:
        raise MalformedHeaderError(f"a v1 header whose addresses are not of {words[1]}") from None
    if "%" in source or not all(_PORT.fullmatch(port) and int(port) < 65536 for port in (source_port, destination_port)):
        raise MalformedHeaderError("a v1 header with a wrong port or a zone")
    return ProxyHeader(end + 1, (_text(address.packed), int(source_port)))


def _parse_v2(data: bytes) -> ProxyHeader | None:
    version, command = data[12] >> 4, data[12] & 0xF
    family, transport = data[13] >> 4, data[13] & 0xF
    if version != 2 or command > _PROXY:
        raise MalformedHeaderError("a v2 header of an unknown version or command")
    length = _FIXED + int.from_bytes(data[14:16], "big")
    if length > MAX_HEADER:
        raise MalformedHeaderError(f"a v2 header of more than {MAX_HEADER} bytes")
    if command == _PROXY and (family > _MAX_FAMILY or transport > _MAX_TRANSPORT):
        raise MalformedHeaderError("a v2 header of an unknown family or transport")
    addresses = _ADDRESS_BYTES[family] if command == _PROXY else 0
    if length < _FIXED + addresses:
        raise MalformedHeaderError("a v2 header that is too short for its addresses")
    if len(data) < length:
        return None
    if command != _PROXY:
        return ProxyHeader(length, None)  # LOCAL: what follows is skipped, whatever it is
    if family:  # nothing is known of what follows an unspecified family
        _check_tlvs(data[:length], _FIXED + addresses)
    if transport != _STREAM or family not in (_INET, _INET6):
        return ProxyHeader(length, None)
    size = 4 if family == _INET else 16
    port_at = _FIXED + 2 * size
    source = _text(data[_FIXED : _FIXED + size])
    return ProxyHeader(length, (source, int.from_bytes(data[port_at : port_at + 2], "big")))


def _check_tlvs(header: bytes, at: int) -> None:
    """Go from one TLV to the next by their lengths; of all of them only the checksum means something here."""
    while at < len(header):
        if at + _TLV_HEAD > len(header):
            raise MalformedHeaderError("a v2 header whose last field is cut off")
        begin, size = at + _TLV_HEAD, int.from_bytes(header[at + 1 : at + 3], "big")
        kind, at = header[at], begin + size
        if at > len(header):
            raise MalformedHeaderError("a v2 header with a field that is longer than the rest of it")
        if kind == _TYPE_CRC32C:
            if size != 4:
                raise MalformedHeaderError("a v2 header whose checksum has not 4 bytes")
            if crc32c(header[:begin] + bytes(4) + header[at:]) != int.from_bytes(header[begin:at], "big"):
                raise MalformedHeaderError("a v2 header whose checksum is wrong")


def _text(packed: bytes) -> str:
    packed = unmapped(packed)
    return str(ipaddress.IPv4Address(packed) if len(packed) == 4 else ipaddress.IPv6Address(packed))
