"""One entry of an access list: an address, a network in CIDR notation, or first-last; and addresses as packed bytes.

Stricter than ipaddress: a netmask instead of a prefix length is refused, as 0.255.255.255 can be read in two ways, and so are
networks with bits set beyond their prefix. Octets with leading zeros, which some programs read as octal (CVE-2021-29921), are
refused by ipaddress itself. An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is the IPv4 address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple

_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 128
_MAPPED: Final = 0xFFFF << 32  # ::ffff:0:0/96
_MAPPED_PREFIX: Final = b"\0" * 10 + b"\xff\xff"
_MAX_SHOWN: Final = 60  # characters of a wrong entry


class AddressRange(NamedTuple):
    """All addresses from `first` to `last`, both included, as numbers."""

    is_ipv6: bool
    first: int
    last: int

    def networks(self) -> Iterator[IPv4Network | IPv6Network]:
        """The networks that it is made of."""
        if self.is_ipv6:
            yield from ipaddress.summarize_address_range(IPv6Address(self.first), IPv6Address(self.last))
        else:
            yield from ipaddress.summarize_address_range(IPv4Address(self.first), IPv4Address(self.last))


def unmapped(packed: bytes) -> bytes:
    """A packed address with an IPv4-mapped one as the 4 bytes of the IPv4 address."""
    return packed[12:] if len(packed) == 16 and packed.startswith(_MAPPED_PREFIX) else packed


def parse_range(text: str) -> AddressRange:
    """Parse `192.0.2.1`, `192.0.2.0/24`, `192.0.2.10-192.0.2.20` or the same in IPv6. ValueError says what is wrong."""
    first_text, dash, last_text = text.partition("-")
    if dash:
        low, high = _address(first_text.strip(), text), _address(last_text.strip(), text)
        if low.version != high.version:
            raise ValueError(f"{_show(text)} begins in one family and ends in the other")
        if int(high) < int(low):
            raise ValueError(f"{_show(text)} ends before it begins")
        return _range(low.version == 6, int(low), int(high))
    address_text, slash, prefix_text = text.partition("/")
    address = _address(address_text, text)
    bits = _IPV6_BITS if address.version == 6 else _IPV4_BITS
    number = int(address)
    if not slash:
        return _range(bits == _IPV6_BITS, number, number)
    if not (prefix_text.isascii() and prefix_text.isdigit() and len(prefix_text) <= 3 and int(prefix_text) <= bits):
        raise ValueError(f"{_show(text)}: what follows the / is the number of bits of the network, 0 to {bits}")
    host_bits = (1 << bits - int(prefix_text)) - 1
    if number & host_bits:
        wide = ipaddress.ip_network((number & ~host_bits, int(prefix_text))) if bits == _IPV4_BITS else None
        network = wide or ipaddress.IPv6Network((number & ~host_bits, int(prefix_text)))
        raise ValueError(f"{_show(text)} has bits set beyond its prefix; write {network}")
    return _range(bits == _IPV6_BITS, number, number | host_bits)


def _address(text: str, entry: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if "%" in text:
            raise ValueError("a zone means something on one machine only")
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(
            f"{_show(entry)} is not an address or network, like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        ) from None


def _range(is_ipv6: bool, first: int, last: int) -> AddressRange:
    if is_ipv6 and first >> 32 == last >> 32 == _MAPPED >> 32:
        return AddressRange(False, first & 0xFFFFFFFF, last & 0xFFFFFFFF)
    return AddressRange(is_ipv6, first, last)


def _show(text: str) -> str:
    return ascii(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "...")
