"""The client address of a request from trusted proxies, from their forwarding fields (as nginx's realip module).

Each proxy appends the address of its peer. The entries are read from the right as long as the proxy that added them is trusted;
entries further left can be forged. The first address that is not trusted is the client's; its protocol, port and host are
those of the same hop. Only one family of fields is used, `security.client_address`: a proxy that sets one forwards the
client's own fields of the other.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from balance.config.model import UNIX, IpNetwork, TrustedProxy
from balance.http1.forwarding.forwarded_field import elements, parameters
from balance.http1.framing import show
from balance.http1.host import is_host

UNKNOWN: Final = "unknown"  # the address of a peer that has none (RFC 7239 section 6.2)
MAX_HOPS: Final = 32  # trusted proxies in a row
_MAX_COMMAS: Final = 4 * MAX_HOPS  # in one field; what stands left of them is one entry, and no address
_CONSEQUENCE: Final = ": nobody knows whose request it is"

ForwardingFields = Sequence[tuple[bytes, bytes]]  # the fields of RequestFields.forwarding

# An address, with a port or without: 192.0.2.1, 192.0.2.1:80, [2001:db8::1], [2001:db8::1]:80, 2001:db8::1; with a zone, which
# only the machine that wrote it knows. RFC 7239 section 6 knows ports of letters.
_NODE: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})(?:%[^\]]*)?\]|([0-9.]{7,15}))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?|([0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,44})(?:%.*)?"
)
_OBFUSCATED: Final = re.compile(r"(?i:unknown)|_[A-Za-z0-9._-]+")  # RFC 7239 sections 6.2, 6.3; Squid's `forwarded_for off`
_PROTOCOLS: Final = frozenset(("http", "https", "ws", "wss"))  # the last two are Traefik's
_PORT: Final = re.compile(r"[0-9]{1,5}")


class Origin:
    """The client of a request. Unknown parts are empty; an unknown `address` is UNKNOWN."""

    __slots__ = ("address", "host", "port", "problem", "proto", "proxies")

    def __init__(self, address: str) -> None:
        self.address = address
        self.proto = ""
        self.host = b""
        self.port = 0
        self.proxies: list[str] = []  # the trusted proxies between the client and our peer, from the peer on
        self.problem = ""  # what could not be read


class TrustedProxies:
    """`security.trusted_proxies`."""

    __slots__ = ("_networks", "has_unix")

    def __init__(self, trusted: Sequence[TrustedProxy]) -> None:
        self._networks = [each for each in trusted if not isinstance(each, str)]
        self.has_unix = UNIX in trusted

    def __bool__(self) -> bool:
        return self.has_unix or bool(self._networks)

    def has(self, peer: str) -> bool:
        """Whether the peer at this address is trusted; UNKNOWN is the peer of a Unix socket."""
        if peer == UNKNOWN:
            return self.has_unix
        return bool(self._networks) and is_in(peer, self._networks)


def is_in(address: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether the address is in one of the networks. An IPv4 address inside IPv6 counts as IPv4."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)


def node_address(text: str) -> str:
    """The address of an entry in canonical form; "" when it has none."""
    match = _NODE.fullmatch(text)
    if match is None:
        return ""
    try:
        ip = ipaddress.ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ip)


def origin_of(family: str, fields: ForwardingFields, peer: str, trusted: TrustedProxies) -> Origin:
    """The client of a request from the trusted `peer` with these fields. `family` is xff or rfc7239."""
    return _by_forwarded(fields, peer, trusted) if family == "rfc7239" else _by_x_forwarded(fields, peer, trusted)


def _by_x_forwarded(fields: ForwardingFields, peer: str, trusted: TrustedProxies) -> Origin:
    origin = Origin(peer)
    hop = _walk(origin, (_unquoted(entry) for entry in _right_to_left(fields, b"x-forwarded-for")), trusted, "X-Forwarded-For")
    _set_origin(
        origin,
        _at(fields, b"x-forwarded-proto", hop),
        _at(fields, b"x-forwarded-host", hop),
        _at(fields, b"x-forwarded-port", hop),
        "X-Forwarded-",
    )
    return origin


def _by_forwarded(fields: ForwardingFields, peer: str, trusted: TrustedProxies) -> Origin:
    origin = Origin(peer)
    read: list[dict[str, str] | None] = []

    def hops() -> Iterator[str]:
        for name, value in reversed(fields):
            if name == b"forwarded":
                for element in elements(value.decode("latin-1")):
                    values = parameters(element)
                    read.append(values)
                    yield element if values is None else values.get("for", UNKNOWN)

    hop = _walk(origin, hops(), trusted, "Forwarded")
    said_there = read[hop] if read else None
    if said_there is not None:
        _set_origin(origin, said_there.get("proto", ""), said_there.get("host", ""), "", "Forwarded ")
    return origin


def _walk(origin: Origin, entries: Iterator[str], trusted: TrustedProxies, field: str) -> int:
    """Read entries from the right while they are trusted proxies. Returns the index of the last one read, 0 without entries.

    An entry that is not an address ends it, and the client's address is then unknown: the proxy's would be wrong, might be on
    an allow-list, and would be the same for all its clients.
    """
    hop = -1
    for entry in entries:
        hop += 1
        if hop:
            origin.proxies.append(origin.address)
        if hop == MAX_HOPS:
            origin.address = UNKNOWN
            origin.problem = f"{field} has more than {MAX_HOPS} trusted proxies in a row{_CONSEQUENCE}"
            break
        if entry == "unix:" and trusted.has_unix:  # nginx's name for the peer of a Unix socket
            origin.address = UNKNOWN
            continue
        origin.address = node_address(entry) or UNKNOWN
        if origin.address == UNKNOWN:
            if not _OBFUSCATED.fullmatch(entry):
                origin.problem = f"{field}: {show(entry.encode('latin-1'))} is no address{_CONSEQUENCE}"
            break
        if not trusted.has(origin.address):
            break
    return max(hop, 0)


def _set_origin(origin: Origin, proto: str, host: str, port: str, field: str) -> None:
    """Set protocol, host and port of the client's connection, as far as they are valid."""
    if proto.lower() in _PROTOCOLS:
        origin.proto = proto.lower()
    elif proto:
        origin.problem = origin.problem or f"{field}Proto: {show(proto.encode('latin-1'))} is no protocol"
    if host and is_host(host.encode("latin-1")):
        origin.host = host.encode("latin-1")
    elif host:
        origin.problem = origin.problem or f"{field}Host: {show(host.encode('latin-1'))} is no host"
    if _PORT.fullmatch(port) and 0 < int(port) < 65536:
        origin.port = int(port)
    elif port:
        origin.problem = origin.problem or f"{field}Port: {show(port.encode('latin-1'))} is no port"


def _right_to_left(fields: ForwardingFields, wanted: bytes) -> Iterator[str]:
    """The entries of comma-separated lists from the right, without empty ones (RFC 9110 section 5.6.1)."""
    for name, value in reversed(fields):
        if name == wanted:
            for entry in reversed(value.decode("latin-1").rsplit(",", _MAX_COMMAS)):
                stripped = entry.strip(" \t")
                if stripped:
                    yield stripped


def _at(fields: ForwardingFields, name: bytes, hop: int) -> str:
    """The entry of that hop. With fewer entries than hops, one proxy set it and the others kept it."""
    found = list(islice(_right_to_left(fields, name), hop + 1))
    return _unquoted(found[-1]) if found else ""


def _unquoted(entry: str) -> str:
    return entry[1:-1].strip(" \t") if len(entry) > 1 and entry[0] == entry[-1] == '"' else entry
