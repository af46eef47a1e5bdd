"""Makes the header of the PROXY protocol, v1 or v2, that goes before the first byte to a backend."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from balance.proxy_protocol.header_parser import SIGNATURE

_LOCAL: Final = {"v1": b"PROXY UNKNOWN\r\n", "v2": SIGNATURE + b"\x20\0\0\0"}
_UNSPECIFIED: Final = {"v1": b"PROXY UNKNOWN\r\n", "v2": SIGNATURE + b"\x21\0\0\0"}
_FAMILY: Final = {4: (b"TCP4", b"\x21\x11"), 6: (b"TCP6", b"\x21\x21")}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def local_header(version: str) -> bytes:
    """For a connection of our own, as of a health check. `version` is v1 or v2."""
    return _LOCAL[version]


def header(version: str, source: Any, destination: Any) -> bytes:
    """For a client's connection from `source` to `destination`, each as a socket's address; for what is no IP address (a Unix
    socket), the header says that nobody knows.
    """
    client, server = _parts(source), _parts(destination)
    if client is None:
        return _UNSPECIFIED[version]
    if server is None:
        server = client[0].__class__(0), 0
    from_, to = client[0], server[0]
    if from_.version != to.version:  # both of one family, by IPv4-mapped IPv6 addresses
        from_, to = _mapped(from_), _mapped(to)
    word, kind = _FAMILY[from_.version]
    if version == "v1":
        return b"PROXY %b %b %b %d %d\r\n" % (word, _text(from_), _text(to), client[1], server[1])
    body = from_.packed + to.packed + client[1].to_bytes(2, "big") + server[1].to_bytes(2, "big")
    return SIGNATURE + kind + len(body).to_bytes(2, "big") + body


def _parts(address: Any) -> tuple[Address, int] | None:
    if not isinstance(address, tuple) or len(address) < 2:
        return None
    try:
        found = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found, int(address[1])


def _text(address: Address) -> bytes:
    """As version 1 has it (section 2.1): of an IPv6 address, an IPv4-mapped one too, digits in fours, and never a dot, which
    CPython writes from 3.13 on.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        number = int(address.ipv4_mapped)
        return b"::ffff:%x:%x" % (number >> 16, number & 0xFFFF)
    return str(address).encode()


def _mapped(address: Address) -> ipaddress.IPv6Address:
    return (
        address
        if isinstance(address, ipaddress.IPv6Address)
        else ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    )
