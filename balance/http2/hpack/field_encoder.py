"""Writes blocks of header fields (RFC 7541) that are the same for every connection.

No entry of the table is ever used or made: a block depends on its fields alone, so one that was written once can be kept and
sent on any connection. HAProxy and nginx do as much; it costs some hundred bytes a reply.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from balance.http2.hpack.static_table import NAME_INDEX, STATIC_TABLE

# What an encoder owes a peer that has made the table smaller, at the begin of the next block (RFC 7541 section 4.2): that it
# uses none.
NO_TABLE: Final = b"\x20"
_INDEXED: Final[dict[tuple[bytes, bytes], bytes]] = {
    field: bytes((0x80 | index,)) for index, field in enumerate(STATIC_TABLE, 1)
}
# The first byte of a literal that no table on the way may keep (section 7.1.3).
NEVER_INDEXED: Final = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"))


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block. Names are in lower case."""
    return b"".join([encode_field(name, value) for name, value in fields])


def encode_field(name: bytes, value: bytes) -> bytes:
    """One field of a block. The name is in lower case."""
    known = _INDEXED.get((name, value))
    if known is not None:
        return known
    return encode_name(name) + encode_length(len(value)) + value


def encode_name(name: bytes) -> bytes:
    """What stands before the length of a value that enters no table. The name is in lower case."""
    flag = 0x10 if name in NEVER_INDEXED else 0
    index = NAME_INDEX.get(name)
    if index is None:
        return b"%c%b%b" % (flag, encode_length(len(name)), name)
    return _integer(index, flag, 0x0F)


def encode_length(size: int) -> bytes:
    """The length of a string without Huffman coding."""
    return LENGTHS[size] if size < 0x7F else _integer(size, 0, 0x7F)


def _integer(value: int, first: int, mask: int) -> bytes:
    if value < mask:
        return bytes((first | value,))
    found = bytearray((first | mask,))
    value -= mask
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


# Those of one byte.
LENGTHS: Final = [bytes((size,)) for size in range(0x7F)]
