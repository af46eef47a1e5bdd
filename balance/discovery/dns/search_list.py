"""Which names are asked for, and whom: /etc/resolv.conf's nameserver, search, domain and ndots, as resolv.conf(5) has them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

DEFAULT_PORT: Final = 53
MAX_NDOTS: Final = 15  # as in glibc
MAX_NAME: Final = 253  # RFC 1035 section 2.3.4, without the final dot


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """`servers` as `address:port`, `[address]:port` or `[address]:port%interface`."""

    servers: tuple[str, ...] = ("127.0.0.1:53",)  # what it means when the file names none
    search: tuple[str, ...] = ()
    ndots: int = 1


def parse_resolv_conf(text: str) -> ResolvConf:
    """What the file says; like other resolvers, never an error: what can't be understood is passed over."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        match words:
            case ["nameserver", address, *_]:
                if (server := _server(address)) and server not in servers:
                    servers.append(server)
            case ["search" | "domain", *domains]:  # the last line counts
                search = tuple(domains if words[0] == "search" else domains[:1])
            case ["options", *options]:
                for option in options:
                    name, _, value = option.partition(":")
                    if name == "ndots" and value.isascii() and value.isdigit():
                        ndots = min(int(value[:4]), MAX_NDOTS)
    given = (domain.removesuffix(".") for domain in search if domain.isascii())
    return ResolvConf(tuple(servers) or ResolvConf().servers, tuple(filter(None, given)), ndots)


def _server(text: str) -> str:
    host, _, interface = text.partition("%")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if address.version == 4:
        return f"{address}:{DEFAULT_PORT}"
    return f"[{address}]:{DEFAULT_PORT}" + (f"%{interface}" if interface else "")


def names_to_ask(name: str, conf: ResolvConf) -> tuple[str, ...]:
    """The full names that `name` may stand for, in the order in which they are asked for, without a final dot.

    With a final dot it is complete. With fewer dots than `ndots` the search domains come first, else last (resolv.conf(5)).
    """
    if name.endswith("."):
        return (name.removesuffix("."),)
    searched = [full for domain in conf.search if len(full := f"{name}.{domain}") <= MAX_NAME]
    names = [*searched, name] if name.count(".") < conf.ndots else [name, *searched]
    return tuple(dict.fromkeys(names))
