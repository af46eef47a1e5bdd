"""Whether a web page is behind a request: it may reach a port of this machine, through the browser of who works there.

Without tokens these checks are what keeps pages out; they read fields that a page can't set (Fetch standard, forbidden names).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers


def is_local_host_header(host: str) -> bool:
    """Whether a Host field is an IP address or localhost. Any other name may be DNS rebinding by a web page."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name = host
    elif not port.isdecimal():
        return False
    if name.lower() in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an Origin field, which browsers send, matches the host. Tools send none."""
    try:
        return not origin or (bool(host) and urlsplit(origin).netloc.lower() == host.lower())
    except ValueError:
        return False


def is_foreign_page(method: str, headers: Headers) -> bool:
    """Whether the page of another site asks, by what browsers say of it (Fetch Metadata); a link that is followed is none."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    is_navigation = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (method in ("GET", "HEAD") and is_navigation)
