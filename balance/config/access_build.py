"""Builds the access lists and the connection guard of a listener from its `security` and the one at the top."""

from __future__ import annotations

from collections.abc import Mapping

from balance.access_lists.access_lists import AccessLists, ListFile
from balance.access_lists.address_set import NOBODY, AddressSet
from balance.config.model import ConnectionProtection
from balance.config.overlay import overlay, renamed
from balance.config.schema.access_sections import AccessSection, Entries, Files


def access_lists_of(top: AccessSection | None, own: AccessSection | None, lists: Mapping[str, AddressSet]) -> AccessLists:
    """`lists` maps each file to its addresses. A listener's block lists are added to those at the top: who is dangerous is so
    everywhere. Its allow list stands instead of the one at the top, entries and files each.
    """
    sections = [section for section in (top, own) if section is not None]
    allowed: Entries | None = None
    allow_files: Files = []
    blocked: Entries = []
    block_files: Files = []
    for section in sections:
        given = section.given()
        allowed = given.get("ip_allowlist", allowed)
        allow_files = given.get("ip_allowlist_files", allow_files)
        if section.ip_blocklist is not None:
            blocked = [*blocked, *(section.ip_blocklist.blocked_ips or ()), *(section.ip_blocklist.blocked_cidrs or ())]
            block_files = [*block_files, *(section.ip_blocklist.files or ())]
    return AccessLists(
        AddressSet(allowed) if allowed else None,
        AddressSet(blocked) if blocked else None,
        tuple(ListFile(file, lists.get(file, NOBODY)) for file in dict.fromkeys(allow_files)),
        tuple(ListFile(file, lists.get(file, NOBODY)) for file in dict.fromkeys(block_files)),
    )


def protection_of(top: AccessSection | None, own: AccessSection | None) -> ConnectionProtection:
    """The connection guard of a listener: its own keys over those at the top, one by one."""
    given = overlay(top and top.connection_protection, own and own.connection_protection)
    return ConnectionProtection(**renamed(given, read_timeout="read_timeout_s"))
