"""Sections about who may connect, and who says whose a connection is: at the top, in listeners and in pools."""

from __future__ import annotations

from typing import Annotated

from balance.access_lists.address_range import AddressRange
from balance.config.model import TrustedProxy
from balance.config.schema import scalars as kind
from balance.config.schema.addresses import ADDRESS_RANGE, TRUSTED_PROXY
from balance.config.schema.section import Count, Flag, Period, Section, Size, Timeout, key, one_or_list
from balance.config.schema.security_sections import RequestSecuritySection

_ENTRY = one_or_list(ADDRESS_RANGE)
Entries = Annotated[list[Annotated[AddressRange, ADDRESS_RANGE]], _ENTRY[0], _ENTRY[1]]
_FILE = one_or_list(kind.FILE)
Files = Annotated[list[Annotated[str, kind.FILE]], _FILE[0], _FILE[1]]

_OWN = "A listener's own stands instead of the one at the top."
_FILES = (
    "one address, network or first-last a line, `#` and `;` before comments; a path is from this file's folder. They are "
    "looked at every second: a changed one holds without a reload, and while it has a wrong line, which the log tells, the "
    "list as it was before stays."
)


class BlocklistSection(Section):
    """Who may not connect, whatever other lists say. A listener's are added to those at the top. `balance block` adds more at
    run time."""

    section_name = "ip_blocklist"
    blocked_ips: Entries = key("Addresses.", [])
    blocked_cidrs: Entries = key("Networks, like 192.0.2.0/24, and ranges, like 192.0.2.10-192.0.2.20.", [])
    files: Files = key(f"Files with more: {_FILES}", [])


class ConnectionProtectionSection(Section):
    """The connection guard: what one client address may have, over all workers. An IPv6 client counts by its /64. Trusted
    proxies and peers of Unix sockets, who stand for many, have no bound. Who has too many is reset when he connects."""

    section_name = "connection_protection"
    enabled: Flag = key("Whether there are such bounds. Clients behind one NAT share an address, so off unless asked.", False)
    max_connections_per_ip: Count = key("Connections at once. 0 is no bound.", 100)
    max_connection_rate: Count = key("Connections opened within a second. 0 is no bound.", 100)
    read_timeout: Timeout = key(
        "HTTP: timeouts.client_header and .client_body are no longer than this while the guard is enabled. 0 leaves them.",
        "10s",
    )
    min_body_rate: Size = key(
        "HTTP: the least that a request's body may bring, in bytes a second, like 240; slower ones get 408. Time in which the "
        "backend takes no more does not count. 0 is no bound: a slow body may be a slow link.",
        0,
    )
    min_body_rate_grace: Period = key("min_body_rate is kept on average of each stretch of so long.", "10s")


class AccessSection(RequestSecuritySection):
    """The keys of `security` that a listener may have for its own."""

    section_name = "access"
    ip_allowlist: Entries = key(
        "Where there are some: nobody else may connect. Addresses, networks and ranges. Whoever connects over a Unix socket is "
        f"judged by the permissions of its file alone. {_OWN}",
        [],
    )
    ip_allowlist_files: Files = key(f"Files with more of those: {_FILES} {_OWN}", [])
    ip_blocklist: BlocklistSection = key("Who may not connect.")
    connection_protection: ConnectionProtectionSection = key("Bounds for one client address.")


class ListenerSecuritySection(AccessSection):
    """Who may connect to this listener. The peer is judged when it connects, before its first byte is read: who may not is
    reset. Where a trusted proxy tells in HTTP whose request it is, that client is judged, too, for each request (403)."""

    section_name = "listener security"


_ACCEPT = key(
    "Whether every connection begins with a header of the PROXY protocol, v1 or v2, that says whose it is. One that does not "
    "is closed: nothing is guessed. The address that it tells is the client's, for access lists, limits, hashing, logs and "
    "what backends are told; LOCAL and UNKNOWN are the proxy itself.",
    False,
)
_TRUSTED = key("Who may connect there, and is believed: addresses and networks; unix: whoever connects over a Unix socket.", [])
_TIMEOUT = key("For the whole header.", "5s")
_SEND = key(
    "v1, v2: connections to backends begin with such a header, which names the client of the connection that they serve. In "
    "HTTP mode they then belong to that one client's connection, and are closed with it. Health checks send UNKNOWN (v1) or "
    "LOCAL (v2).",
    "none",
)


class ListenerProxyProtocolSection(Section):
    """Who says whose a connection is, as HAProxy's `accept-proxy` and nginx's `listen ... proxy_protocol`."""

    section_name = "listener proxy_protocol"
    accept: Flag = _ACCEPT
    trusted: list[Annotated[TrustedProxy, TRUSTED_PROXY]] = _TRUSTED
    timeout: Period = _TIMEOUT


class PoolProxyProtocolSection(Section):
    """What backends are told of a connection, as by HAProxy's `send-proxy`."""

    section_name = "pool proxy_protocol"
    send: Annotated[str, kind.choice("v1", "v2", "none")] = _SEND


class ProxyProtocolSection(Section):
    """The PROXY protocol, in for every listener and out for every pool that doesn't say otherwise."""

    section_name = "proxy_protocol"
    accept: Flag = _ACCEPT
    trusted: list[Annotated[TrustedProxy, TRUSTED_PROXY]] = _TRUSTED
    timeout: Period = _TIMEOUT
    send: Annotated[str, kind.choice("v1", "v2", "none")] = _SEND
