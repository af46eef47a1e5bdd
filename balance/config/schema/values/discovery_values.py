"""Value types of discovery: names of DNS, resolvers, servers, services."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from balance.config.schema.scalars import Scalar, as_text, display, text_matching
from balance.discovery.server_url import parse_server_url

# With underscores, which SRV records have. A final dot says that the name is complete.
_LABELS: Final = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
# IDNA 2003, which Python has, makes another name of these than IDNA 2008 (RFC 5894 section 7.2): nobody's guess is asked for.
_DEVIATIONS: Final = frozenset("ßςẞ\u200c\u200d")
_LONGEST: Final = 253  # RFC 1035 section 2.3.4, without the final dot


def _dns_name(value: object) -> str:
    text = as_text(value).lower()
    if not text or text == ".":
        raise ValueError("is empty; write a name, like app.example.org")
    if _is_address(text):
        raise ValueError(f"{display(text)} is an address, not a name; addresses stand under backends")
    if "://" in text or "/" in text:
        raise ValueError(f"{display(text)} is more than a name; write the name alone, like app.example.org")
    name, colon, port = text.partition(":")
    if colon:
        port = port if port.isdigit() else "80"
        raise ValueError(f"{display(text)}: a name has no port; write {name}, and port: {port} beside it")
    if not text.isascii():
        if _DEVIATIONS & set(text):
            raise ValueError(f"{display(text)} has letters that are written in two ways in DNS; write it as xn--...")
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"{display(text)} is no name that DNS can be asked for: {error}") from None
    if not _LABELS.fullmatch(text) or len(text.removesuffix(".")) > _LONGEST:
        raise ValueError(f"{display(text)} is no name; write 1 to 63 letters, digits, - and _ between dots, 253 in all")
    return text


def _resolver(value: object) -> str:
    """As `address:port` or `[address]:port`, with `%interface` behind it."""
    text = as_text(value)
    host, port = text, "53"
    if match := re.fullmatch(r"(\[[^\]]*\]|[^:]*):([^:]*)", text):
        host, port = match[1], match[2]
    host, percent, interface = host.removeprefix("[").removesuffix("]").partition("%")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"{display(text)}: {display(port)} is not a port, 1 to 65535")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(
            f"{display(text)} is not the address of a resolver, like 10.0.0.2, 10.0.0.2:5353 or [::1]:53; a name would have to "
            "be resolved first"
        ) from None
    if percent and (address.version == 4 or not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", interface)):
        raise ValueError(f"{display(text)}: {display(interface)} is no interface")
    if address.version == 6 and address.is_link_local and not percent:
        raise ValueError(f"{display(text)} is the address of an interface: write which, as in {address}%eth0")
    shown = f"[{address}]" if address.version == 6 else f"{address}"
    return f"{shown}:{int(port)}" + (f"%{interface}" if percent else "")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


DNS_NAME = Scalar(_dns_name, {"type": "string", "examples": ["app.example.org", "_http._tcp.app.default.svc.cluster.local."]})
RESOLVER = Scalar(_resolver, {"type": "string", "examples": ["10.0.0.2", "10.0.0.2:5353", "[::1]:53"]})


def _server(value: object) -> str:
    text = as_text(value)
    try:
        parse_server_url(text)
    except ValueError as error:
        raise ValueError(f"expected the address of a server: {error}") from None
    return text


SERVER = Scalar(_server, {"type": "string"})
CONSUL_SERVICE = text_matching(r"[^\x00-\x20/?#\x7f]+", "the name of a service", 255)
# A label's value, as EndpointSlices have the name of their Service in a label.
KUBERNETES_NAME = text_matching(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", "a name in Kubernetes", 63)
