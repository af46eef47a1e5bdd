"""Value types for `hash_key` and `session_affinity.header`. balance.http1.hash_key extracts the key from a request."""

from __future__ import annotations

import re

from balance.config.model import HashKey
from balance.config.schema.scalars import Scalar, display

HASHING = ("consistent-hash", "maglev", "bounded-load")  # the algorithms that use hash_key

_ALLOWED = "source-ip, path, header:NAME, cookie:NAME or query:NAME"
_NAMES = {
    "header": re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}"),  # RFC 9110 section 5.1: a token
    "cookie": re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}"),  # RFC 6265 section 4.1.1: a token
    "query": re.compile(r"[!-%'-<>-~]{1,200}"),  # not decoded; without & and =
}
# Any client can set these; source-ip uses them from trusted proxies only.
_CLIENT_ADDRESS_HEADERS = frozenset(["x-forwarded-for", "x-real-ip", "forwarded"])


def _parse_hash_key(value: object) -> HashKey:
    if not isinstance(value, str):
        raise ValueError(f"expected {_ALLOWED}, got {display(value)}")
    kind, colon, name = value.partition(":")
    kind = kind.strip().lower().replace("_", "-")
    if kind in ("source-ip", "path") and not colon:
        return HashKey(kind)
    if kind not in _NAMES:
        raise ValueError(f"{display(value)} is not one of {_ALLOWED}")
    name = name.strip()
    if not _NAMES[kind].fullmatch(name):
        raise ValueError(f"{display(value)}: {name!r} is not the name of a {_KIND_NAMES[kind]}, like {_EXAMPLES[kind]}")
    if kind == "header" and name.lower() in _CLIENT_ADDRESS_HEADERS:
        raise ValueError(f"{display(value)} is what anybody may claim; source-ip follows security.trusted_proxies")
    return HashKey(kind, name)


_KIND_NAMES = {"header": "header field", "cookie": "cookie", "query": "query parameter"}
_EXAMPLES = {"header": "header:X-User", "cookie": "cookie:session", "query": "query:user"}


def _parse_session_header(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected the name of a header field, like X-Session, got {display(value)}")
    if not _NAMES["header"].fullmatch(value):
        raise ValueError(f"{display(value)} is not the name of a header field, like X-Session")
    if value.lower() in _CLIENT_ADDRESS_HEADERS:
        raise ValueError(f"{display(value)} is what anybody may claim; mode: source-ip follows security.trusted_proxies")
    return value


SESSION_HEADER = Scalar(_parse_session_header, {"type": "string", "pattern": r"^\S+$"})
HASH_KEY = Scalar(_parse_hash_key, {"type": "string", "pattern": r"^(source[-_]ip|path|(header|cookie|query): *\S+)$"})
