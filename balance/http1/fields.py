"""Header field lines (RFC 9112 section 5): their syntax, and the fields that a proxy must handle.

All other fields are forwarded without being parsed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Set
from typing import Final

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OPTION_CACHE_SIZE: Final = 256


class Kind(enum.IntEnum):
    """The kinds of fields. PLAIN ones are forwarded unchanged."""

    PLAIN = 0
    UNDERSCORE = 1  # a name with `_`, which CGI and WSGI can't tell from `-`
    HOST = 2
    CONTENT_LENGTH = 3
    TRANSFER_ENCODING = 4
    CONNECTION = 5
    HOP = 6  # other hop-by-hop fields: Proxy-Connection, Proxy-Authorization
    KEEP_ALIVE = 7
    TE = 8
    UPGRADE = 9
    EXPECT = 10
    FORWARDING = 11  # X-Forwarded-* and X-SSL-Client-* (any of them), X-Real-IP, Forwarded
    REQUEST_ID = 12
    MAX_FORWARDS = 13
    PROXY_AUTHENTICATE = 14  # forwarded in responses
    CONNECTION_AUTH = 15  # an Authorization that applies to the connection (NTLM, Negotiate)
    IMITATION = 16  # X_SSL_Client_*, in any spelling that CGI and WSGI read like that with dashes


# As numbers: a lookup through the Enum takes 49 ns in CPython 3.11, a global 4 ns; and numbers are compared without a call.
PLAIN: Final[int] = Kind.PLAIN.value
UNDERSCORE: Final[int] = Kind.UNDERSCORE.value
HOST: Final[int] = Kind.HOST.value
CONTENT_LENGTH: Final[int] = Kind.CONTENT_LENGTH.value
TRANSFER_ENCODING: Final[int] = Kind.TRANSFER_ENCODING.value
CONNECTION: Final[int] = Kind.CONNECTION.value
HOP: Final[int] = Kind.HOP.value
KEEP_ALIVE: Final[int] = Kind.KEEP_ALIVE.value
TE: Final[int] = Kind.TE.value
UPGRADE: Final[int] = Kind.UPGRADE.value
EXPECT: Final[int] = Kind.EXPECT.value
FORWARDING: Final[int] = Kind.FORWARDING.value
REQUEST_ID: Final[int] = Kind.REQUEST_ID.value
MAX_FORWARDS: Final[int] = Kind.MAX_FORWARDS.value
PROXY_AUTHENTICATE: Final[int] = Kind.PROXY_AUTHENTICATE.value
CONNECTION_AUTH: Final[int] = Kind.CONNECTION_AUTH.value
IMITATION: Final[int] = Kind.IMITATION.value

# Of names alone, see kind_of_name().
MALFORMED: Final = -2
AUTHORIZATION: Final = -1  # PLAIN, unless its value says that it is CONNECTION_AUTH

_KINDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    # RFC 9110 section 7.6.1, and what RFC 2616 section 13.5.1 listed besides
    b"proxy-connection": HOP,
    b"proxy-authenticate": PROXY_AUTHENTICATE,
    b"proxy-authorization": HOP,
    b"http2-settings": HOP,  # RFC 9113: belongs to the h2c upgrade that is never passed on
    b"keep-alive": KEEP_ALIVE,
    b"te": TE,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"forwarded": FORWARDING,
    b"x-real-ip": FORWARDING,
    b"x-request-id": REQUEST_ID,
    b"max-forwards": MAX_FORWARDS,
}

# Fields that stay even if Connection names them: removing them would change the message. RFC 9110 section 7.6.1 only forbids
# senders to name such fields.
PROTECTED: Final = frozenset(
    (b"host", b"content-length", b"content-type", b"content-encoding", b"content-range", b"range", b"transfer-encoding",
     b"authorization", b"cookie", b"set-cookie", b"cache-control", b"date", b"location", b"expect", b"x-request-id")
)  # fmt: skip

# Fields that are dropped from trailers (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS: Final = PROTECTED | frozenset(
    (b"te", b"trailer", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"max-forwards", b"via",
     b"proxy-authenticate", b"proxy-authorization", b"www-authenticate", b"age", b"expires", b"retry-after", b"vary",
     b"warning", b"pragma", b"forwarded", b"x-real-ip", b"http2-settings", b"if-match", b"if-none-match",
     b"if-modified-since", b"if-unmodified-since", b"if-range")
)  # fmt: skip

# Applications believe many of them: -Proto, -Ssl, -Protocol and -Scheme tell gunicorn or Rack of TLS, -Prefix tells of the path
# that stands before theirs, -User and -Email tell who it is.
_X_FORWARDED: Final = b"x-forwarded-"
# Who a client is by its certificate: ours to say, see tls/client_identity
X_SSL_CLIENT: Final = b"x-ssl-client"

_option_sets: Final[dict[bytes, frozenset[bytes]]] = {}  # `keep-alive`, `close` and a few more
_trailer_names: Final[dict[bytes, bool]] = {}  # whether they may be trailers: each call of gRPC ends with the same few
_TRAILER_NAMES_KEPT: Final = 256
_LONG_NAME: Final = 64

# Authentication schemes that authenticate the connection: NTLM, Negotiate (RFC 4559) and variants, CredSSP.
_CONNECTION_AUTH_PREFIXES: Final = (b"ntlm", b"nego", b"kerberos", b"credssp")
_CONNECTION_AUTH_SCHEMES: Final = rb"(?:" + b"|".join(_CONNECTION_AUTH_PREFIXES) + rb")"
_FIRST_OF_CONNECTION_AUTH: Final = b"nNkKcC \t"
_SPACE: Final = ord(" ")
_AUTHORIZATION: Final = b"\nauthorization:"

_NAME_END: Final = rb"(?:[^a-z0-9:\r\n][^:\r\n]*)?"  # what may follow X-SSL-Client


def _by_first_letter(names: list[bytes]) -> bytes:
    """A pattern for one of them. Of a name that is none, it compares one letter with each first letter, not with each name."""
    letters = {name[:1]: b"|".join(other[1:] for other in names if other[0] == name[0]) for name in names}
    return b"|".join(rb"%b(?:%b)" % (letter, rest) for letter, rest in letters.items())


_NAME_BYTE: Final = rb"[!-9;-^`-~]"  # not an underscore
_NAMES: Final = [re.escape(name) for name in _KINDS] + [
    re.escape(_X_FORWARDED) + _NAME_BYTE + b"*",
    re.escape(X_SSL_CLIENT) + b"(?:-" + _NAME_BYTE + b"*)?",
]
# Finds the special fields in a lower-cased block. The groups do not match for a name with an underscore, an imitation and an
# Authorization of a connection.
_SPECIAL_BUT_UNDERSCORE: Final = (
    rb"\n(?:("
    + _by_first_letter(_NAMES)
    + rb"):[ \t]*([^\r\n]*)|"
    + _AUTHORIZATION[1:]
    + rb"[ \t]*"
    + _CONNECTION_AUTH_SCHEMES
    + rb"|x[^a-z0-9:\r\n]ssl[^a-z0-9:\r\n]client"
    + _NAME_END
    + rb":"
)
_SPECIAL_WITHOUT: Final = re.compile(_SPECIAL_BUT_UNDERSCORE + rb")")
_SPECIAL: Final = re.compile(_SPECIAL_BUT_UNDERSCORE + rb"|" + _NAME_BYTE + rb"*_)")
_CONNECTION_AUTH_CHALLENGE: Final = re.compile(
    rb"(?i)\n(?:www|proxy)-authenticate:(?:[^\r\n]*,)?[ \t]*" + _CONNECTION_AUTH_SCHEMES
)
_SSL_CLIENT: Final = re.compile(rb"x[^a-z0-9]ssl[^a-z0-9]client" + _NAME_END)  # in any spelling
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# line.translate(TEXT) == line: no byte but those; for a short line at a third of what a regular expression costs.
TEXT: Final = bytes(byte if byte == 9 or (byte >= 32 and byte != 127) else 0x20 for byte in range(256))

Span = tuple[int, int]  # start and end of a line in a block, CRLF included


def special_fields(block: bytes) -> list[tuple[int, bytes, Span]]:
    """The fields of `block` that are not PLAIN, in order: kind, value and line.

    A block is the field lines of a head with the LF before them and the empty line after them. Its syntax is not checked here
    but by llhttp. The value of an UNDERSCORE is its name.
    """
    found: list[tuple[int, bytes, Span]] = []
    lower = block.lower()
    for match in (_SPECIAL if lower.find(b"_") >= 0 else _SPECIAL_WITHOUT).finditer(lower):
        start, end = match.span(2)
        if start >= 0:
            found.append((_KINDS.get(match[1], FORWARDING), block[start:end].rstrip(b" \t"), (match.start() + 1, end + 2)))
        else:
            line = (match.start() + 1, block.find(b"\n", match.end()) + 1)
            if match[0].startswith(_AUTHORIZATION):
                found.append((CONNECTION_AUTH, b"", line))
                continue
            if match[0].endswith(b":"):
                found.append((IMITATION, b"", line))
                continue
            found.append((UNDERSCORE, block[line[0] : line[1]].partition(b":")[0], line))
    return found


def kind_of_name(name: bytes) -> int:
    """The kind of the fields of this name, AUTHORIZATION, or MALFORMED for what is no token."""
    if _TOKEN.fullmatch(name) is None:
        return MALFORMED
    lower = name.lower()
    kind = _KINDS.get(lower)
    if kind is not None:
        return kind
    if lower.find(b"_") >= 0 or lower.startswith(_X_FORWARDED) or (lower[:1] == b"x" and lower[2:5] == b"ssl"):
        found = special_fields(b"\n%b:\r\n\r\n" % name)
        return found[0][0] if found else PLAIN
    return AUTHORIZATION if lower == b"authorization" else PLAIN


def is_connection_auth(value: bytes) -> bool:
    """Whether an Authorization with this value applies to the connection."""
    if len(value) > 1 and value[0] == _SPACE and value[1] not in _FIRST_OF_CONNECTION_AUTH:  # Basic, Bearer, Digest
        return False
    return value.lstrip(b" \t")[:8].lower().startswith(_CONNECTION_AUTH_PREFIXES)


def remove_lines(block: bytes, taken_out: list[Span]) -> bytes:
    """The lines of `block` except `taken_out`, without the block's first LF and its empty line."""
    pieces = []
    position = 1
    for start, end in taken_out:
        pieces.append(block[position:start])
        position = end
    pieces.append(block[position:-2])
    return b"".join(pieces)


def without(lines: list[bytes], removed: list[bytes], names: Set[bytes]) -> bytes:
    """`lines`, each with a CRLF, but those `removed` and but fields of lower-case names in `names`. Uses the list up."""
    for line in removed:
        lines.remove(line)
    lines.append(b"")
    joined = b"\r\n".join(lines)
    return remove_named(joined, names) if names else joined


def remove_named(lines: bytes, names: Set[bytes]) -> bytes:
    """`lines` without the fields whose lower-case name is in `names`."""
    return b"".join([line for line in lines.splitlines(True) if line.partition(b":")[0].lower() not in names])


def malformed_line(block: bytes) -> bytes | None:
    """The first line of `block` that is not a field line, or None."""
    for line in block[1:-2].split(b"\r\n")[:-1]:
        if not is_field_line(line):
            return line
    return None


def is_field_line(line: bytes) -> bool:
    """Whether `line`, without its CRLF, is a field line."""
    name, colon, value = line.partition(b":")
    return bool(colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value))


def offers_connection_auth(block: bytes) -> bool:
    """Whether a 401 or 407 offers an authentication scheme that applies to the connection."""
    return _CONNECTION_AUTH_CHALLENGE.search(block) is not None


def list_members(values: list[bytes]) -> list[bytes]:
    """The members of comma-separated lists, in order, without duplicates (case-insensitively)."""
    found: dict[bytes, bytes] = {}
    for value in values:
        for member in value.split(b","):
            found.setdefault(member.strip(b" \t").lower(), member.strip(b" \t"))
    found.pop(b"", None)
    return list(found.values())


def options(values: list[bytes]) -> frozenset[bytes]:
    """The members as a lower-cased set, as for Connection."""
    known = _option_sets.get(values[0]) if len(values) == 1 else None
    if known is None:
        known = frozenset(option.strip(b" \t") for value in values for option in value.lower().split(b",")) - {b""}
        if len(values) == 1 and len(values[0]) <= 64:
            if len(_option_sets) >= _OPTION_CACHE_SIZE:
                _option_sets.clear()
            _option_sets[values[0]] = known
    return known


def for_llhttp(block: bytes) -> bytes:
    """`block` changed for llhttp: Upgrade, at which it stops, is renamed, and tabs around a transfer coding, which are valid
    white space (RFC 9110 section 5.6.3), are spaces."""
    for kind, _, (start, end) in special_fields(block):
        if kind == UPGRADE:
            block = b"%bx%b" % (block[:start], block[start + 1 :])
        elif kind == TRANSFER_ENCODING:
            block = block[:start] + block[start:end].replace(b"\t", b" ") + block[end:]
    return block


def is_field_name(name: bytes) -> bool:
    """Whether `name` is a token (RFC 9110 section 5.1)."""
    return _TOKEN.fullmatch(name) is not None


def is_allowed_in_trailers(name: bytes) -> bool:
    """Whether a field of this name may be forwarded as a trailer."""
    known = _trailer_names.get(name)
    if known is None:
        lower = name.lower()
        known = lower not in _NOT_IN_TRAILERS and not lower.startswith(_X_FORWARDED) and not _SSL_CLIENT.fullmatch(lower)
        if len(name) <= _LONG_NAME:
            if len(_trailer_names) >= _TRAILER_NAMES_KEPT:
                _trailer_names.clear()
            _trailer_names[name] = known
    return known


def field_value(lines: bytes, name: bytes) -> str:
    """The value of the first field `name` (lower case) among CRLF-ended lines; empty when there is none. For logs."""
    for line in lines.split(b"\r\n"):
        found, colon, value = line.partition(b":")
        if colon and found.lower() == name:
            return value.strip(b" \t").decode("latin-1")
    return ""


def field_values(lines: bytes, name: bytes) -> Iterator[bytes]:
    """The values of the fields `name` (lower case) among CRLF-ended lines, in order."""
    start_of_line = b"\n%b:" % name
    lower = b"\n" + lines.lower()  # each line has an LF before it
    start = lower.find(start_of_line)
    while start >= 0:
        start += len(start_of_line) - 1
        yield lines[start : lines.find(b"\r\n", start)].strip(b" \t")
        start = lower.find(start_of_line, start)
