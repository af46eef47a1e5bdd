"""One spelling for each host: what routes name and what requests ask for are compared in it (RFC 9110 section 4.2.3)."""

from __future__ import annotations

import ipaddress


def normalize_host(host: str) -> str:
    """`host` in lower case, without its port and one final dot; an IPv6 address in brackets, in its shortest notation.

    A wildcard keeps its `*.`. Nothing is checked here: see http1/host.py for what requests may name.
    """
    host = host.lower()
    if host.startswith("["):
        address = host[1:].partition("]")[0]
    elif host.count(":") > 1:
        address = host
    else:
        return host.partition(":")[0].removesuffix(".")
    try:
        return f"[{ipaddress.IPv6Address(address)}]"
    except ValueError:
        return f"[{address}]"
