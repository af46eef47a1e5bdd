"""What a user may hash requests by: one word, or a kind and a name. What it finds in a request: http1.hashkey."""

from __future__ import annotations

import re

from balance.config.model import HashKey
from balance.config.schema.scalars import Scalar, shown

HASHING = ("consistent-hash", "maglev", "bounded-load")  # the algorithms that ask for a key of the user's choice

_ALLOWED = "source-ip, path, header:NAME, cookie:NAME or query:NAME"
_NAMES = {
    "header": re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}"),  # RFC 9110 section 5.1: a token
    "cookie": re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}"),  # RFC 6265 section 4.1.1: the same
    "query": re.compile(r"[!-%'-<>-~]{1,200}"),  # as it stands in the query: without & and =
}
# Who asked, in somebody's own words: source-ip believes them from a trusted proxy, and from nobody else.
_CLAIMS = frozenset(["x-forwarded-for", "x-real-ip", "forwarded"])


def _read(value: object) -> HashKey:
    if not isinstance(value, str):
        raise ValueError(f"expected {_ALLOWED}, got {shown(value)}")
    kind, colon, name = value.partition(":")
    kind = kind.strip().lower().replace("_", "-")
    if kind in ("source-ip", "path") and not colon:
        return HashKey(kind)
    if kind not in _NAMES:
        raise ValueError(f"{shown(value)} is not one of {_ALLOWED}")
    name = name.strip()
    if not _NAMES[kind].fullmatch(name):
        raise ValueError(f"{shown(value)}: {name!r} is not the name of a {_WHAT[kind]}, like {_EXAMPLES[kind]}")
    if kind == "header" and name.lower() in _CLAIMS:
        raise ValueError(f"{shown(value)} is what anybody may claim; source-ip follows security.trusted_proxies")
    return HashKey(kind, name)


_WHAT = {"header": "header field", "cookie": "cookie", "query": "query parameter"}
_EXAMPLES = {"header": "header:X-User", "cookie": "cookie:session", "query": "query:user"}


def _read_header(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected the name of a header field, like X-Session, got {shown(value)}")
    if not _NAMES["header"].fullmatch(value):
        raise ValueError(f"{shown(value)} is not the name of a header field, like X-Session")
    if value.lower() in _CLAIMS:
        raise ValueError(f"{shown(value)} is what anybody may claim; mode: source-ip follows security.trusted_proxies")
    return value


SESSION_HEADER = Scalar(_read_header, {"type": "string", "pattern": r"^\S+$"})
HASH_KEY = Scalar(_read, {"type": "string", "pattern": r"^(source[-_]ip|path|(header|cookie|query): *\S+)$"})
