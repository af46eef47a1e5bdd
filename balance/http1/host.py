"""The host of a request: Host field and request target (RFC 9110 section 4.2, RFC 9112 section 3.2)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from balance.errors import ProtocolError
from balance.http1.framing import show
from balance.model import Why

# Stricter than RFC 3986 section 3.2.2: no percent-encoding, no user name, and of the sub-delims only `!`, `$`, `&` and `+`,
# which are token characters. The others have a meaning in field values, logs or patterns.
_PORT: Final = rb"[0-5]?[0-9]{0,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"  # up to 65535, or empty
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&+\-]{1,255})(?::(%b))?" % _PORT)
_ABSOLUTE: Final = re.compile(rb"(?i:http(s?))://([^/?]*)(.*)", re.DOTALL)
_SLASH: Final = ord("/")


def refuse(detail: str) -> ProtocolError:
    """The error for a request without an unambiguous host."""
    return ProtocolError(400, Why.BAD_REQUEST, detail)


def read_host(values: list[bytes], minor: int) -> bytes | None:
    """The Host field's value, without the colon of an empty port. RFC 9112 section 3.2: exactly one in HTTP/1.1."""
    if len(values) > 1:
        raise refuse("more than one Host")
    if not values:
        if minor:
            raise refuse("no Host")
        return None
    value = values[0]
    if not is_host(value):
        raise refuse(f"Host {show(value)} is not a host")
    return value[:-1] if value.endswith(b":") else value


def is_host(value: bytes) -> bool:
    """Whether it is a valid Host: a name or an address, with or without a port."""
    return _HOST.fullmatch(value) is not None


def origin_form(method: bytes, target: bytes, host: bytes | None, minor: int) -> tuple[bytes, bytes | None]:
    """The path and host of a target in absolute-form or asterisk-form (RFC 9112 section 3.2).

    Stricter than section 3.2.2, by which the target overrides Host: here they must be the same. HTTP/1.0 may omit Host.
    """
    if target == b"*":
        if method != b"OPTIONS":
            raise refuse(f"the target * is for OPTIONS, not for {method.decode()}")
        return target, host
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise refuse(f"{show(target)} is not a request target")
    is_tls, authority, path = match.groups()
    if host is None and not minor:
        host = read_host([authority], minor)
    if host is None or not is_same(authority, host, 443 if is_tls else 80):
        raise refuse("the target's host is not the Host field's")
    if not path:
        return b"*" if method == b"OPTIONS" else b"/", host
    return path if path[0] == _SLASH else b"/" + path, host


def is_same(one: bytes, other: bytes, default_port: int) -> bool:
    """Whether two authorities are equivalent (RFC 9110 section 4.2.3): default port, IPv6 notation and case are normalized."""
    first = _parts(one, default_port)
    return first is not None and first == _parts(other, default_port)


def port_of(host: bytes) -> int:
    """The port of a Host field's value; 0 when it has none."""
    match = _HOST.fullmatch(host)
    return int(match[2]) if match is not None and match[2] else 0


def split_host(host: bytes) -> tuple[bytes, bytes]:
    """The name or address (in brackets, if any) of a Host field's value, and its port or b""."""
    match = _HOST.fullmatch(host)
    return (match[1], match[2] or b"") if match is not None else (host, b"")


def authority_of(address: str, port: int) -> bytes:
    """One of our addresses in the form of a Host field."""
    host = f"[{address}]" if ":" in address else address
    return (host if port == 80 else f"{host}:{port}").encode("ascii")


def _parts(authority: bytes, default_port: int) -> tuple[str, int] | None:
    match = _HOST.fullmatch(authority)
    if match is None:
        return None
    host = match[1].decode("ascii").lower()
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            return None
    return host, int(match[2]) if match[2] else default_port
