"""The ways in which backends may read a path: routes and rules judge all of them, as a backend must not see another path than
they did (RFC 3986 section 6.2.2, RFC 9110 section 17.1).

A server does some of these steps, in this order. A reading is what is left after any choice of them:

| in a path                | step                             | who reads it so                                        |
| ------------------------ | -------------------------------- | ------------------------------------------------------ |
| `%61`, `%2e`, `%7E`      | unreserved characters decoded    | all but who match the raw path (Express, Go's RawPath) |
| `//`                     | slashes merged                   | nginx, Apache, Tomcat; apps that drop empty segments   |
| `/./`, `/x/..`, `/%2e/`  | dot segments resolved            | nginx, Apache, Tomcat, Go, static files of Starlette   |
| `;jsessionid=1`, `/..;/` | parameters cut from each segment | servlets: Tomcat, Jetty, Spring, before they resolve   |
| `%2F`, `%20`, `%3B`      | the others decoded               | WSGI, ASGI, PHP (none resolves), nginx, some servlets  |
| `%252F`, `%2561`         | decoded twice                    | two servers in a row that each decode                  |
| `%00`, `%3F`, `%23`      | cut there, once decoded          | C strings; who parses a decoded path as a URL again    |
| `\\`, `%5C`              | read as a slash                  | IIS, Tomcat where allowed, URL parsers (WHATWG URL)    |

The normalized reading has the first three: what RFC 3986 section 6.2.2 calls equivalent, and merged slashes. `/x//../admin` has
two, as merging before or after resolving differs. Hex digits are always compared in upper case.

Not read: letter case and trailing dots (Windows' file systems), overlong UTF-8, `%u0061`: no maintained server for Linux does.
A rule for a backend that ignores case has to be a regex that does, too.

A usual path has a single reading and costs one regex. A path with more readings than can be judged in bounded time has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

# Nothing in it is a step's: segments of unreserved characters and sub-delims without `;`, none empty or of dots.
_USUAL: Final = re.compile(rb"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9_.~!$&'()*+,=:@-]+)*/?")
_LOWER_HEX: Final = re.compile(rb"%(?:[a-f][0-9A-Fa-f]|[0-9A-F][a-f])")
_DOT_SEGMENT: Final = re.compile(rb"/\.\.?(?:/|\Z)")
_SLASHES: Final = re.compile(rb"//+")
_PARAMETERS: Final = re.compile(rb";[^/]*")
_END: Final = re.compile(rb"[\0?#]")

_OCTETS: Final = {b"%02X" % octet: bytes((octet,)) for octet in range(256)}
_UNRESERVED: Final = {digits: octet for digits, octet in _OCTETS.items() if re.fullmatch(rb"[A-Za-z0-9._~-]", octet)}

MAX_READINGS: Final = 32
MAX_BYTES: Final = 32 * 1024  # of all readings together: some ms at worst. A line of 8 KB may have four that are as long


def path_readings(path: bytes) -> tuple[bytes, ...]:
    """The different readings of a path without its query: the one as sent first. Empty: too many to judge."""
    if _USUAL.fullmatch(path):
        return (path,)
    if path[:1] != b"/":
        return (path,)  # the `*` of OPTIONS
    return _all_readings(path)


def normalized_path(path: bytes) -> bytes:
    """The normalized reading, which `normalize: forward` sends where readings differ."""
    if _USUAL.fullmatch(path) or path[:1] != b"/":
        return path
    return resolve_dots(merge_slashes(decode_unreserved(_upper_hex(path))))


def configured_readings(path: str) -> tuple[bytes, ...]:
    """The spellings of a path in the configuration with which readings are compared: as written, and decoded."""
    written = _upper_hex(path.encode())
    return tuple(dict.fromkeys((written, _decode_all(written))))


def decode_unreserved(path: bytes) -> bytes:
    """`path` with the escapes decoded that are never needed: letters, digits, `-._~` (RFC 3986 section 2.3)."""
    return _upper_hex(_decode(path, _UNRESERVED))  # a stray `%` before a decoded digit may begin an escape


def merge_slashes(path: bytes) -> bytes:
    """`path` without empty segments, but for the last."""
    return _SLASHES.sub(b"/", path)


def has_dot_segments(path: bytes) -> bool:
    """Whether one of its segments is `.` or `..`."""
    return _DOT_SEGMENT.search(path) is not None


def resolve_dots(path: bytes) -> bytes:
    """`path` without dot segments (RFC 3986 section 5.2.4); `..` of the root is the root."""
    if _DOT_SEGMENT.search(path) is None:
        return path
    segments: list[bytes] = []
    segment = b""
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            if segments:
                segments.pop()
        elif segment != b".":
            segments.append(segment)
    if segment in (b".", b".."):
        segments.append(b"")  # a folder
    return b"/" + b"/".join(segments)


def _upper_hex(path: bytes) -> bytes:
    return _LOWER_HEX.sub(lambda match: match[0].upper(), path)


def _cut_parameters(path: bytes) -> bytes:
    return _PARAMETERS.sub(b"", path)


def _decode_all(path: bytes) -> bytes:
    return _upper_hex(_decode(path, _OCTETS))


def _decode(path: bytes, octets: dict[bytes, bytes]) -> bytes:
    first, *rest = path.split(b"%")
    pieces = [first]
    for piece in rest:
        octet = octets.get(piece[:2])
        pieces.append(b"%" + piece if octet is None else octet + piece[2:])
    return b"".join(pieces)


def _cut_end(path: bytes) -> bytes:
    match = _END.search(path)
    return path[: match.start()] if match is not None else path


def _slash_backslashes(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


# Each with what a path has that it changes. The normalized reading comes of the first three, so that its own readings are among
# those of the path.
_STEPS: Final[tuple[tuple[bytes, Callable[[bytes], bytes]], ...]] = (
    (b"%", decode_unreserved),
    (b"//", merge_slashes),
    (b"/.", resolve_dots),
    (b";", _cut_parameters),
    (b"%", _decode_all),
    (b"%", _decode_all),
    (b"", _cut_end),
    (b"\\", _slash_backslashes),
    (b";", _cut_parameters),  # what `%3B` became
    (b"//", merge_slashes),
    (b"/.", resolve_dots),
    (b"//", merge_slashes),  # `/x//..` resolves to `/x/`
)


@lru_cache(maxsize=16)  # the router, the rules and the judge of changed paths ask for the same path one after the other
def _all_readings(path: bytes) -> tuple[bytes, ...]:
    first = _upper_hex(path)
    readings = [first]
    seen = {first}
    size = len(path)
    for sign, step in _STEPS:
        for reading in readings[:]:
            if reading.find(sign) >= 0:
                new = step(reading)
                if new not in seen:
                    seen.add(new)
                    readings.append(new)
                    size += len(new)
                    if len(readings) > MAX_READINGS or size > MAX_BYTES:
                        return ()
    return tuple(readings)
