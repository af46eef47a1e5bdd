"""Sections about who may connect, at the top and in listeners."""

from __future__ import annotations

from typing import Annotated

from balance.access_lists.address_range import AddressRange
from balance.config.schema import scalars as kind
from balance.config.schema.addresses import ADDRESS_RANGE
from balance.config.schema.section import Count, Flag, Section, Timeout, key, one_or_list
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
