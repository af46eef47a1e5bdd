"""Keys and values of features that this version does not have: refused with a message that says so, never ignored."""

from __future__ import annotations

UNSUPPORTED_KEYS: dict[str, frozenset[str]] = {
    "": frozenset(
        [
            "rate_limit",
            "tracing",
            "discovery",
            "autoscaler",
        ]
    ),
    "listener": frozenset(["rate_limit"]),
    "listener security": frozenset(
        [
            "trusted_proxies",
            "client_address",
            "jwt",
            "forward_auth",
        ]
    ),
    "pool": frozenset(["tls", "discovery", "autoscaler"]),
    "backend": frozenset(["tls"]),
    "route": frozenset(["rate_limit", "tls"]),
    "route security": frozenset(["ip_allowlist", "ip_allowlist_files", "ip_blocklist", "jwt", "forward_auth"]),
    "tls": frozenset(["backend", "client_auth", "client_ca_file", "client_crl_file", "redirect_http", "sni"]),
    "security": frozenset(
        [
            "jwt",
            "forward_auth",
            "rate_limit",
        ]
    ),
    "admin": frozenset(["auth", "tls", "dashboard"]),
    "metrics": frozenset(["aliases"]),
    "access_log": frozenset(["sample", "slow_threshold"]),
}

UNSUPPORTED_ACCESS_LOG_FORMATS = frozenset({"template"})
