"""Value types for addresses: listen addresses, backend addresses (also as URLs), and networks of trusted proxies."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from balance.access_lists.address_range import AddressRange, parse_range
from balance.config.model import UNIX, IpNetwork, TrustedProxy
from balance.config.schema.scalars import JsonSchema, Scalar, as_text, display
from balance.model import Address

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "tcp": 80}


@dataclass(frozen=True, slots=True)
class BackendAddress:
    """A backend's address, and the scheme of its URL: http or https; "" for none, as tcp:// says nothing of TLS."""

    address: Address
    scheme: str = ""


def _parse_listen(value: object) -> Address:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f'expected an address, got the number {value}; write ":{value}" to listen on every interface')
    address = Address.parse(as_text(value))
    if address.host == "*":  # as in nginx and HAProxy
        return Address("", address.port)
    if address.host.isdigit():
        raise ValueError(f'{value!r}: {address.host!r} is no host; a listener has one port, as in ":{address.port}"')
    return address


def _parse_backend(value: object) -> BackendAddress:
    text = as_text(value)
    return _parse_url(text) if "://" in text else BackendAddress(_parse_plain(text))


def _parse_plain(text: str) -> Address:
    address = Address.parse(text)
    if not address.is_unix and not address.host:
        raise ValueError(f"{text!r} has no host; write host:port, [v6]:port or unix:/path")
    if not address.is_unix and address.port == 0:
        raise ValueError(f"{text!r}: port 0 is not in 1..65535")
    return address


def _parse_url(text: str) -> BackendAddress:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    if "@" in url.netloc:  # not quoted in the message: it may have a password
        raise ValueError("a backend's address has no user name or password; write http://host:port")
    if url.scheme not in DEFAULT_PORTS:
        raise ValueError(f"{text!r}: the scheme {url.scheme!r} is not known; write host:port or http://host:port, or https")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError(f"{text!r}: a backend is an address only; write {url.scheme}://host:port without anything after it")
    netloc = url.netloc if port is not None else f"{url.netloc.rstrip(':')}:{DEFAULT_PORTS[url.scheme]}"
    return BackendAddress(_parse_plain(netloc), "" if url.scheme == "tcp" else url.scheme)


def _parse_trusted_proxy(value: object) -> TrustedProxy:
    text = as_text(value)
    if text.lower().removesuffix(":") == UNIX:  # nginx: `unix:`
        return UNIX
    if text.startswith("unix:"):
        raise ValueError(f"{text!r} names one socket; write {UNIX}: whoever connects over a Unix socket")
    return _parse_network(text, f", or {UNIX}")


def _parse_network(value: object, other: str = "") -> IpNetwork:
    text = as_text(value)
    try:
        network = ipaddress.ip_network(text)
        mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
        # An IPv4-mapped IPv6 network is the IPv4 network.
        return network if mapped is None else ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    except ValueError:
        try:
            wide = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f"{display(text)} is not an address or network, like 10.0.0.1, 10.0.0.0/8 or fd00::/8{other}"
            ) from None
        raise ValueError(f"{text!r} has bits set beyond its prefix; write {wide}") from None


def _parse_range(value: object) -> AddressRange:
    return parse_range(as_text(value))


_ADDRESS_JSON: JsonSchema = {"type": "string", "examples": [":8080", "127.0.0.1:8080", "[::1]:8080", "unix:/run/app.sock"]}
LISTEN = Scalar(_parse_listen, _ADDRESS_JSON)
BACKEND_ADDRESS = Scalar(_parse_backend, _ADDRESS_JSON)
TRUSTED_PROXY = Scalar(_parse_trusted_proxy, {"type": "string", "examples": ["10.0.0.0/8", UNIX]})
NETWORK = Scalar(_parse_network, {"type": "string", "examples": ["10.0.0.0/8"]})
ADDRESS_RANGE = Scalar(_parse_range, {"type": "string", "examples": ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32"]})
