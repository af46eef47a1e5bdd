"""Field lines (RFC 9112 section 5): which bytes are a name, which names mean something to a proxy.

A name is classified once and then looked up, spelled as it came: most connections spell the same twenty names for ever.
"""

from __future__ import annotations

import enum
import re

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REMEMBERED_NAMES = 4096  # a peer that invents names costs a classification each, and no more memory than this


class Kind(enum.IntEnum):
    """What a field is to a proxy. PLAIN ones are passed on without a look."""

    PLAIN = 0
    UNDERSCORE = 1  # read as another name by CGI and WSGI, which write `-` as `_`
    HOST = 2
    CONTENT_LENGTH = 3
    TRANSFER_ENCODING = 4
    CONNECTION = 5
    HOP = 6  # ends here: Keep-Alive, Proxy-Connection, Trailer ...
    KEEP_ALIVE = 7
    TE = 8
    UPGRADE = 9
    EXPECT = 10
    FORWARDING = 11  # who the client says it speaks for
    REQUEST_ID = 12
    MAX_FORWARDS = 13


INVALID = -1

_KINDS: dict[bytes, Kind] = {
    b"host": Kind.HOST,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"connection": Kind.CONNECTION,
    # RFC 9110 section 7.6.1, and what RFC 2616 section 13.5.1 listed besides
    b"proxy-connection": Kind.HOP,
    b"proxy-authenticate": Kind.HOP,
    b"proxy-authorization": Kind.HOP,
    b"trailer": Kind.HOP,
    b"http2-settings": Kind.HOP,  # RFC 9113: belongs to the h2c upgrade that is never passed on
    b"keep-alive": Kind.KEEP_ALIVE,
    b"te": Kind.TE,
    b"upgrade": Kind.UPGRADE,
    b"expect": Kind.EXPECT,
    b"forwarded": Kind.FORWARDING,
    b"x-forwarded-for": Kind.FORWARDING,
    b"x-forwarded-proto": Kind.FORWARDING,
    b"x-forwarded-host": Kind.FORWARDING,
    b"x-forwarded-port": Kind.FORWARDING,
    b"x-real-ip": Kind.FORWARDING,
    b"x-request-id": Kind.REQUEST_ID,
    b"max-forwards": Kind.MAX_FORWARDS,
}

# What a Connection field may name without effect: taking these away would change what the message means or who sent it.
# RFC 9110 section 7.6.1 only forbids the sender to name such fields.
PROTECTED = frozenset(
    (b"host", b"content-length", b"content-type", b"content-encoding", b"content-range", b"range", b"transfer-encoding",
     b"authorization", b"cookie", b"set-cookie", b"cache-control", b"date", b"location", b"expect", b"x-request-id")
)  # fmt: skip

# A trailer that would mean something before or beyond the body is dropped (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS = PROTECTED | frozenset(
    (b"te", b"trailer", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"max-forwards", b"via",
     b"proxy-authenticate", b"proxy-authorization", b"www-authenticate", b"age", b"expires", b"retry-after", b"vary",
     b"warning", b"pragma", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host",
     b"x-forwarded-port", b"x-real-ip", b"http2-settings", b"if-match", b"if-none-match", b"if-modified-since",
     b"if-unmodified-since", b"if-range")
)  # fmt: skip

_known: dict[bytes, int] = {}


def kind_of(name: bytes) -> int:
    """The Kind of a field name as it came, or INVALID when it is not a token."""
    kind = _known.get(name)
    return kind if kind is not None else _classify(name)


def _classify(name: bytes) -> int:
    kind: int
    if not _TOKEN.fullmatch(name):
        kind = INVALID
    elif b"_" in name:
        kind = Kind.UNDERSCORE
    else:
        kind = _KINDS.get(name.lower(), Kind.PLAIN)
    if len(_known) < _REMEMBERED_NAMES and len(name) <= 64:
        _known[bytes(name)] = int(kind)
    return int(kind)


def members(values: list[bytes]) -> list[bytes]:
    """The lower-case members of comma lists such as Upgrade's, each once, in their order."""
    found = dict.fromkeys(member.strip(b" \t") for value in values for member in value.lower().split(b","))
    found.pop(b"", None)
    return list(found)


def options(values: list[bytes]) -> set[bytes]:
    """The same where the order says nothing, as in Connection."""
    return {option.strip(b" \t") for value in values for option in value.lower().split(b",")} - {b""}


def is_allowed_in_trailers(name: bytes) -> bool:
    """Whether a trailer of this name may be passed on."""
    return b"_" not in name and name.lower() not in _NOT_IN_TRAILERS


def field_value(lines: bytes, name: bytes) -> str:
    """The value of the first field `name` (lower case) among CRLF-ended lines; empty when there is none. For logs."""
    for line in lines.split(b"\r\n"):
        found, colon, value = line.partition(b":")
        if colon and found.lower() == name:
            return value.strip(b" \t").decode("latin-1")
    return ""
