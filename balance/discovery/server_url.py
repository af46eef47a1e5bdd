"""Where an HTTP server is that sources ask, as a URL says it: `http://host:port/prefix`, `https://...` or `unix:/path`."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from balance.model import Address

_PORTS: Final = {"http": 80, "https": 443}
FORMS: Final = "http://HOST:PORT, https://HOST:PORT or unix:/PATH"


class ServerUrl(NamedTuple):
    """A server's address, its name for the field Host, and what stands before each path."""

    address: Address
    authority: str
    prefix: str = ""
    is_secure: bool = False


def parse_server_url(text: str) -> ServerUrl:
    """ValueError says in one line what is wrong, and quotes no password."""
    if text.startswith("unix:"):
        if not text.removeprefix("unix:").strip("/"):
            raise ValueError(f"it has no path; write {FORMS}")
        return ServerUrl(Address.parse("unix:/" + text.removeprefix("unix:").lstrip("/")), "localhost")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"it has characters that a URL can't have; write {FORMS}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"its host or port can't be read; write {FORMS}") from None
    if "@" in parts.netloc:
        raise ValueError("a user or a password does not stand in it")
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"it is no address of a server; write {FORMS}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = _PORTS[parts.scheme]
    address = Address.parse(f"{host}:{usual if port is None else port}")
    if not address.port:
        raise ValueError("port 0 is not in 1..65535")
    return ServerUrl(address, host if address.port == usual else str(address), parts.path.rstrip("/"), parts.scheme == "https")
