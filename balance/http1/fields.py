"""Field lines (RFC 9112 section 5): which bytes are a name, which names mean something to a proxy.

Most fields mean nothing to a proxy and pass without a look.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Set

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REMEMBERED_OPTIONS = 256


class Kind(enum.IntEnum):
    """What a field is to a proxy. PLAIN ones are passed on without a look."""

    PLAIN = 0
    UNDERSCORE = 1  # read as another name by CGI and WSGI, which write `-` as `_`
    HOST = 2
    CONTENT_LENGTH = 3
    TRANSFER_ENCODING = 4
    CONNECTION = 5
    HOP = 6  # ends here: Proxy-Connection, Proxy-Authorization ...
    KEEP_ALIVE = 7
    TE = 8
    UPGRADE = 9
    EXPECT = 10
    FORWARDING = 11  # who the client says it speaks for
    REQUEST_ID = 12
    MAX_FORWARDS = 13
    PROXY_AUTHENTICATE = 14  # goes on in a reply
    CONNECTION_AUTH = 15  # an Authorization that holds for a connection and not for one request


# By name: a look-up through an Enum costs 49 ns in CPython 3.11, a global 4, and a head needs a dozen.
(PLAIN, UNDERSCORE, HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, HOP, KEEP_ALIVE, TE, UPGRADE, EXPECT, FORWARDING,
 REQUEST_ID, MAX_FORWARDS, PROXY_AUTHENTICATE, CONNECTION_AUTH) = Kind  # fmt: skip

_KINDS: dict[bytes, Kind] = {
    b"host": Kind.HOST,
    b"content-length": Kind.CONTENT_LENGTH,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"connection": Kind.CONNECTION,
    # RFC 9110 section 7.6.1, and what RFC 2616 section 13.5.1 listed besides
    b"proxy-connection": Kind.HOP,
    b"proxy-authenticate": Kind.PROXY_AUTHENTICATE,
    b"proxy-authorization": Kind.HOP,
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

_option_sets: dict[bytes, frozenset[bytes]] = {}  # `keep-alive`, `close` and a few more

# The schemes of authentication that are of a connection: NTLM and Negotiate (RFC 4559), which is Kerberos or NTLM inside, with
# the names that they have had; CredSSP is both inside TLS.
_OF_A_CONNECTION = rb"(?:ntlm|nego|kerberos|credssp)"
_AUTHORIZATION = b"\nauthorization:"

# A lower-cased block is searched for the names that matter: the others, nine of ten, cost nothing but the search. A name with
# an underscore is found without its group, and so is an Authorization of a connection.
_SPECIAL = re.compile(
    rb"\n(?:("
    + b"|".join(map(re.escape, _KINDS))
    + rb"):[ \t]*([^\r\n]*)|[!-9;-^`-~]*_|"
    + _AUTHORIZATION[1:]
    + rb"[ \t]*"
    + _OF_A_CONNECTION
    + rb")"
)
_ASKS_FOR_IT = re.compile(rb"(?i)\n(?:www|proxy)-authenticate:(?:[^\r\n]*,)?[ \t]*" + _OF_A_CONNECTION)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

Span = tuple[int, int]  # where in a block a line begins and, behind its CRLF, ends


def special(block: bytes) -> list[tuple[int, bytes, Span]]:
    """The fields of `block` that are not PLAIN, in their order: kind, value and line.

    A block is the field lines of a head with the LF before them and the empty line behind them. Nothing is said here of whether
    its lines are well formed; that is the witness's to say. The value of an UNDERSCORE is its name.
    """
    found: list[tuple[int, bytes, Span]] = []
    for match in _SPECIAL.finditer(block.lower()):
        start, end = match.span(2)
        if start >= 0:
            found.append((_KINDS[match[1]], block[start:end].rstrip(b" \t"), (match.start() + 1, end + 2)))
        else:
            line = (match.start() + 1, block.find(b"\n", match.end()) + 1)
            if match[0].startswith(_AUTHORIZATION):
                found.append((CONNECTION_AUTH, b"", line))
                continue
            found.append((UNDERSCORE, block[line[0] : line[1]].partition(b":")[0], line))
    return found


def only_host(block: bytes) -> bytes | None:
    """The Host of a block that has no other special field, in lower case; None when it has. The most common head, fast."""
    found = _SPECIAL.findall(block.lower())
    if len(found) == 1 and found[0][0] == b"host":
        value: bytes = found[0][1]
        return value.rstrip(b" \t")
    return None


def only_length(block: bytes) -> tuple[bytes, bytes] | None:
    """Content-Length's value and the lines to pass on, of a block that says nothing else but perhaps `Connection: keep-alive`.

    None for all others. Most replies are such.
    """
    lower = block.lower()
    found = _SPECIAL.findall(lower)
    if len(found) == 1:
        return (found[0][1].rstrip(b" \t"), block[1:-2]) if found[0][0] == b"content-length" else None
    if len(found) == 2:
        values = dict(found)
        if values.get(b"connection") == b"keep-alive" and b"content-length" in values:
            start = lower.find(b"\nconnection:") + 1
            end = lower.find(b"\n", start) + 1
            return values[b"content-length"].rstrip(b" \t"), block[1:start] + block[end:-2]
    return None


def without(block: bytes, taken_out: list[Span]) -> bytes:
    """The lines of `block` but those of `taken_out`, each with its CRLF, without the block's first LF and its empty line."""
    pieces = []
    position = 1
    for start, end in taken_out:
        pieces.append(block[position:start])
        position = end
    pieces.append(block[position:-2])
    return b"".join(pieces)


def without_named(lines: bytes, names: Set[bytes]) -> bytes:
    """`lines` but those whose name, in lower case, is in `names`."""
    return b"".join([line for line in lines.splitlines(True) if line.partition(b":")[0].lower() not in names])


def malformed(block: bytes) -> bytes | None:
    """The first line of `block` that is no field line, or None."""
    for line in block[1:-2].split(b"\r\n")[:-1]:
        if not is_field_line(line):
            return line
    return None


def is_field_line(line: bytes) -> bool:
    """Whether `line`, without its CRLF, is a field line."""
    name, colon, value = line.partition(b":")
    return bool(colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value))


def asks_for_connection_auth(block: bytes) -> bool:
    """Whether a 401 or 407 asks for authentication that will hold for its connection."""
    return _ASKS_FOR_IT.search(block) is not None


def members(values: list[bytes]) -> list[bytes]:
    """The members of comma lists such as Upgrade's as they were sent, in their order, each once whatever its case."""
    found: dict[bytes, bytes] = {}
    for value in values:
        for member in value.split(b","):
            found.setdefault(member.strip(b" \t").lower(), member.strip(b" \t"))
    found.pop(b"", None)
    return list(found.values())


def options(values: list[bytes]) -> frozenset[bytes]:
    """The same where the order says nothing, as in Connection."""
    known = _option_sets.get(values[0]) if len(values) == 1 else None
    if known is None:
        known = frozenset(option.strip(b" \t") for value in values for option in value.lower().split(b",")) - {b""}
        if len(values) == 1 and len(values[0]) <= 64:
            if len(_option_sets) >= _REMEMBERED_OPTIONS:
                _option_sets.clear()
            _option_sets[values[0]] = known
    return known


def for_witness(block: bytes) -> bytes:
    """`block` in the form that llhttp reads as we do. An Upgrade, at which it would stop, stands under another name; the tabs
    around a transfer coding that we know, white space like any other (RFC 9110 section 5.6.3), are spaces."""
    for kind, _, (start, end) in special(block):
        if kind == UPGRADE:
            block = b"%bx%b" % (block[:start], block[start + 1 :])
        elif kind == TRANSFER_ENCODING:
            block = block[:start] + block[start:end].replace(b"\t", b" ") + block[end:]
    return block


def is_field_name(name: bytes) -> bool:
    """Whether `name` is a token (RFC 9110 section 5.1)."""
    return _TOKEN.fullmatch(name) is not None


def is_allowed_in_trailers(name: bytes) -> bool:
    """Whether a trailer of this name may be passed on, as far as what it means is concerned."""
    return name.lower() not in _NOT_IN_TRAILERS


def field_value(lines: bytes, name: bytes) -> str:
    """The value of the first field `name` (lower case) among CRLF-ended lines; empty when there is none. For logs."""
    for line in lines.split(b"\r\n"):
        found, colon, value = line.partition(b":")
        if colon and found.lower() == name:
            return value.strip(b" \t").decode("latin-1")
    return ""
