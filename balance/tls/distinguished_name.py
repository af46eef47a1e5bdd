"""Distinguished names of subjects and issuers: as text by RFC 4514, and whether two of them are the same.

The text is printable ASCII, whatever the authority has signed: all else is escaped, so that it can stand in a field line or in
a log. Its order is the RFC's, the last attribute first, as in nginx's $ssl_client_s_dn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from balance.tls.der import items

# RFC 4514 section 3, and what OpenSSL calls by a name besides.
_TYPES: Final = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.42": "GN",
    "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip
_ENCODINGS: Final = {
    0x0C: "utf-8", 0x12: "ascii", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1A: "ascii", 0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}  # fmt: skip
_SPECIAL: Final = re.compile(r'[",+;<>\\]|[^\x20-\x7e]|^[ #]|(?<=.) \Z')
_SPACES: Final = re.compile(r"\s+")


def object_id(data: bytes) -> str:
    """An object identifier in dots."""
    numbers: list[int] = []
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        return ""
    top = min(numbers[0] // 40, 2)
    return ".".join(map(str, (top, numbers[0] - 40 * top, *numbers[1:])))


def _attributes(name: bytes) -> Iterator[list[tuple[str, int, bytes]]]:
    """Each relative name's (type, tag, value). ValueError for what can't be read."""
    for _, group in items(name):
        found = []
        for _, attribute in items(group):
            (_, kind), (tag, value) = items(attribute)
            found.append((object_id(kind), tag, value))
        yield found


def _decoded(tag: int, value: bytes) -> str | None:
    encoding = _ENCODINGS.get(tag)
    if encoding is None:
        return None
    try:
        return value.decode(encoding)
    except UnicodeDecodeError:
        return None


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if char.isprintable() and char.isascii():
        return "\\" + char
    return "".join([f"\\{byte:02X}" for byte in char.encode("utf-8", "surrogatepass")])


def _encoded(tag: int, value: bytes) -> str:
    """What has no text, in hexadecimal (RFC 4514 section 2.4)."""
    length = f"{len(value):02x}" if len(value) < 0x80 else f"82{len(value):04x}"
    return f"#{tag:02x}{length}{value.hex()}"


@lru_cache(maxsize=256)
def name_text(name: bytes) -> str:
    """The text of a name's content in DER. ValueError for what can't be read."""
    groups = []
    for group in _attributes(name):
        said = []
        for kind, tag, value in group:
            text = _decoded(tag, value)
            shown = _encoded(tag, value) if text is None else _SPECIAL.sub(_escaped, text)
            said.append(f"{_TYPES.get(kind, kind)}={shown}")
        groups.append("+".join(reversed(said)))
    return ",".join(reversed(groups))


def same_name(one: bytes, other: bytes) -> bool:
    """Whether two names are the same (RFC 5280 section 7.1): case and spaces make no difference, nor does the encoding."""
    if one == other:
        return True
    try:
        return _folded(one) == _folded(other)
    except (ValueError, IndexError):
        return False


def _folded(name: bytes) -> list[list[tuple[str, str]]]:
    return [
        sorted((kind, _SPACES.sub(" ", (_decoded(tag, value) or value.hex()).strip()).casefold()) for kind, tag, value in group)
        for group in _attributes(name)
    ]
