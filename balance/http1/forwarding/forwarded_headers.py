"""The fields about the client that are sent to backends: X-Forwarded-*, X-Real-IP, Forwarded (RFC 7239), Via.

What a client says of itself is believed only where the connection comes from a trusted proxy (see realip); otherwise it was
taken out with the head's other hop-by-hop fields, and what stands here replaces it. A field whose value is not known is left
out: the peer of a Unix socket has no address, and the socket no port. The other X-Forwarded-* of a trusted proxy (-Prefix,
-User, -Ssl ...) go on as they came.
"""

from __future__ import annotations

from typing import Final

from balance.http1.fields import X_SSL_CLIENT
from balance.http1.forwarding.forwarded_field import elements, parameters
from balance.http1.forwarding.realip import UNKNOWN, ForwardingFields, Origin, TrustedProxies, origin_of
from balance.http1.host import port_of

VIA: Final = b"Via: 1.1 balance\r\n"
VIA_HTTP2: Final = b"Via: 2.0 balance\r\n"  # of a request that came over HTTP/2 (RFC 9110 section 7.6.3)
SECURE: Final = frozenset(("https", "wss"))

# What stands for these is made here
_MADE: Final = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip")
)

_CACHE_SIZE: Final = 1024  # clients
_CACHE_MAX_BYTES: Final = 512  # of one entry


def forwarding_lines(style: str, peer: str, port: int, scheme: str, *, via: bool) -> tuple[bytes, bytes]:
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
    address = f"X-Forwarded-For: {peer}\r\nX-Real-IP: {peer}\r\n" if peer != UNKNOWN else ""
    port_line = f"X-Forwarded-Port: {port}\r\n" if port else ""
    return before + f"{address}X-Forwarded-Proto: {scheme}\r\n{port_line}X-Forwarded-Host: ".encode(), b"\r\n"


class ForwardedClient:
    """The client of a request from a trusted proxy, and the lines about it for the backend."""

    __slots__ = ("address", "is_secure", "lines", "problem")

    def __init__(self, origin: Origin | ForwardedClient, lines: bytes, *, is_secure: bool) -> None:
        self.address: str = origin.address  # or UNKNOWN
        self.problem: str = origin.problem  # what could not be read, if anything
        self.is_secure = is_secure  # it came over TLS
        self.lines = lines

    def over_http2(self) -> ForwardedClient:
        """The same, where Via says that the request came over HTTP/2."""
        return ForwardedClient(self, self.lines.replace(VIA, VIA_HTTP2, 1), is_secure=self.is_secure)


class ForwardedClients:
    """The ForwardedClients of one listener, cached by the proxy's fields, which are the same in all requests of a client."""

    __slots__ = ("_family", "_port", "_remembered", "_scheme", "_style", "_verifies_clients", "_via", "trusted")

    def __init__(
        self,
        family: str,
        style: str,
        trusted: TrustedProxies,
        port: int,
        scheme: str,
        *,
        via: bool,
        verifies_clients: bool = False,
    ) -> None:
        """`family` is ``security.client_address``, `style` is ``http.forwarded``. With `verifies_clients` nobody else says who
        they are by their certificates."""
        self._verifies_clients = verifies_clients
        self._family = family
        self._style = style
        self._port = port
        self._scheme = scheme
        self._via = via
        self.trusted = trusted
        self._remembered: dict[tuple[str, bytes, ForwardingFields], ForwardedClient] = {}

    def client(self, fields: ForwardingFields, peer: str, host: bytes) -> ForwardedClient:
        """The client of a request from the trusted `peer` with these fields and this Host."""
        key = (peer, host, fields)
        known = self._remembered.get(key)
        if known is not None:
            return known
        origin = origin_of(self._family, fields, peer, self.trusted)
        scheme = origin.proto or self._scheme
        lines = VIA if self._via else b""
        if self._style == "rfc7239" or self._style == "both":
            lines += self._forwarded(origin, fields, peer, host)
        if self._style == "xff" or self._style == "both":
            lines += self._x_forwarded(origin, fields, peer, host)
        lines += b"".join([b"%b: %b\r\n" % field for field in fields if self._goes_on(field[0])])
        view = ForwardedClient(origin, lines, is_secure=scheme in SECURE)
        if sum([len(value) for _, value in fields]) + len(host) <= _CACHE_MAX_BYTES:
            if len(self._remembered) >= _CACHE_SIZE:
                self._remembered.clear()
            self._remembered[key] = view
        return view

    def _goes_on(self, name: bytes) -> bool:
        """Whether this field of a trusted proxy is for backends as it came."""
        return name not in _MADE and not (self._verifies_clients and name.startswith(X_SSL_CLIENT))

    def _forwarded(self, origin: Origin, fields: ForwardingFields, peer: str, host: bytes) -> bytes:
        hops = _values(fields, b"forwarded")
        if self._family == "rfc7239" and all(
            parameters(each) is not None for value in hops for each in elements(value.decode("latin-1"))
        ):
            pass  # as they came
        elif origin.address == peer and not origin.proxies:  # without any forwarding fields
            hops = []
        else:
            hop = f"for={_node(origin.address)};proto={origin.proto or self._scheme}".encode()
            hops = [hop + b';host="%b"' % origin.host if origin.host else hop]
            hops += [f"for={_node(address)}".encode() for address in reversed(origin.proxies)]
        hops.append(f"for={_node(peer)};proto={self._scheme};host=".encode() + b'"' + host + b'"')
        return b"Forwarded: " + b", ".join(hops) + b"\r\n"

    def _x_forwarded(self, origin: Origin, fields: ForwardingFields, peer: str, host: bytes) -> bytes:
        if self._family == "xff":
            hops = _values(fields, b"x-forwarded-for")
        elif origin.address == peer and not origin.proxies:
            hops = []
        else:
            hops = [address.encode() for address in (origin.address, *reversed(origin.proxies))]
        if peer != UNKNOWN:
            hops.append(peer.encode())
        scheme = origin.proto or self._scheme
        port = origin.port or self._port
        if not origin.port and (origin.proto or origin.host):  # the port of the proxy that the client connected to
            port = port_of(origin.host or host) or (443 if scheme in SECURE else 80)
        lines = [b"X-Forwarded-For: " + b", ".join(hops) + b"\r\n"] if hops else []
        if origin.address != UNKNOWN:
            lines.append(b"X-Real-IP: " + origin.address.encode() + b"\r\n")
        lines.append(b"X-Forwarded-Proto: " + scheme.encode() + b"\r\n")
        if port:
            lines.append(b"X-Forwarded-Port: %d\r\n" % port)
        lines.append(b"X-Forwarded-Host: " + (origin.host or host) + b"\r\n")
        return b"".join(lines)


def _values(fields: ForwardingFields, wanted: bytes) -> list[bytes]:
    """The values of the fields of that name, without commas at their ends."""
    stripped = [value.strip(b", \t") for name, value in fields if name == wanted]
    return [value for value in stripped if value]


def _node(peer: str) -> str:
    """An address in the form of RFC 7239 section 6."""
    return f'"[{peer}]"' if ":" in peer else peer
