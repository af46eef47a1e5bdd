"""Keys and values of features that this version does not have: refused with a message that says so, never ignored."""

from __future__ import annotations

UNSUPPORTED_KEYS: dict[str, frozenset[str]] = {
    "route security": frozenset(["ip_allowlist", "ip_allowlist_files", "ip_blocklist"]),
    "admin.auth": frozenset(["basic"]),
}
