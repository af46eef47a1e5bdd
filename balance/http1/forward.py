"""What a backend is told of the client: X-Forwarded-*, X-Real-IP, Forwarded (RFC 7239), Via.

What a client says of itself is believed only where the connection comes from a trusted proxy; otherwise it was taken out with
the head's other hop-by-hop fields, and what stands here replaces it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from balance.config.model import IpNetwork
from balance.http1.head import RequestFields

VIA = b"Via: 1.1 balance\r\n"


def introduction(style: str, peer: str, port: int, scheme: str, *, via: bool) -> tuple[bytes, bytes]:
    """The lines that every request of a connection gets, as what stands before and after the Host's value.

    `style` is ``http.forwarded``; with ``none`` both parts are empty but for Via, and the Host goes nowhere.
    """
    before = VIA if via else b""
    if style == "none":
        return before, b""
    if style == "rfc7239":
        return before + f'Forwarded: for={_node(peer)};proto={scheme};host="'.encode(), b'"\r\n'
    if style == "both":  # the Host stands in one place only, so here Forwarded goes without it
        before += f"Forwarded: for={_node(peer)};proto={scheme}\r\n".encode()
    before += (
        f"X-Forwarded-For: {peer}\r\nX-Real-IP: {peer}\r\nX-Forwarded-Proto: {scheme}\r\n"
        f"X-Forwarded-Port: {port}\r\nX-Forwarded-Host: "
    ).encode()
    return before, b"\r\n"


def continued(
    style: str, fields: RequestFields, peer: str, port: int, scheme: str, trusted: Sequence[IpNetwork], *, via: bool
) -> bytes:
    """The same lines for a request that a trusted proxy at `peer` passed on: what it said, and itself added."""
    said: dict[bytes, list[bytes]] = {}
    for name, value in fields.forwarding:
        said.setdefault(name, []).append(value)
    host = fields.host or b""
    lines = [VIA] if via else []
    if style == "rfc7239" or style == "both":
        hops = [*said.get(b"forwarded", []), f"for={_node(peer)};proto={scheme};host=".encode() + b'"' + host + b'"']
        lines.append(b"Forwarded: " + b", ".join(hops) + b"\r\n")
    if style == "xff" or style == "both":
        hops = [*said.get(b"x-forwarded-for", []), peer.encode()]
        lines.append(b"X-Forwarded-For: " + b", ".join(hops) + b"\r\n")
        lines.append(b"X-Real-IP: " + client_address(fields, peer, trusted).encode() + b"\r\n")
        for name, default in (
            (b"X-Forwarded-Proto", scheme.encode()),
            (b"X-Forwarded-Port", b"%d" % port),
            (b"X-Forwarded-Host", host),
        ):
            lines.append(b"%b: %b\r\n" % (name, said.get(name.lower(), [default])[0]))
    return b"".join(lines)


def client_address(fields: RequestFields, peer: str, trusted: Sequence[IpNetwork]) -> str:
    """Who sent the request: from the right, the first hop of X-Forwarded-For that is not a trusted proxy.

    An entry that is not an address ends the walk: nothing left of it can be believed.
    """
    hops = [
        hop.strip()
        for name, value in fields.forwarding
        if name == b"x-forwarded-for"
        for hop in value.decode("latin-1").split(",")
    ]
    client = peer
    for hop in reversed(hops):
        if not is_trusted(client, trusted):
            break
        try:
            client = str(ipaddress.ip_address(hop))
        except ValueError:
            break
    return client


def is_trusted(peer: str, trusted: Sequence[IpNetwork]) -> bool:
    """Whether `peer` is in one of the networks. An IPv4 address inside IPv6 counts as IPv4."""
    if not trusted:
        return False
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in trusted)


def _node(peer: str) -> str:
    """An address as RFC 7239 section 6 writes it."""
    return f'"[{peer}]"' if ":" in peer else peer
