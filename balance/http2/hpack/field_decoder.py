"""Reads blocks of header fields (RFC 7541): what a block says, within bounds of number and of bytes.

A block that passes the bounds is still read to its end, as the table that it changes is shared with those that follow; its
fields are dropped. One that is far beyond them ends the connection: some kilobytes of it would cost megabytes.
"""

from __future__ import annotations

from typing import Final

from balance.http2.errors import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ConnectionFault
from balance.http2.hpack.huffman import decode
from balance.http2.hpack.static_table import STATIC_TABLE

TABLE_BYTES: Final = 4096  # the table's size where SETTINGS say nothing (RFC 9113 section 6.5.2)
ENTRY_BYTES: Final = 32  # what an entry counts beside its text (RFC 7541 section 4.1)
COOKIES: Final = 256  # `cookie` fields, counted apart: browsers send one for each cookie (RFC 9113 section 8.2.3)
BEYOND: Final = 4  # times the bound, where the connection ends
_STATIC: Final = len(STATIC_TABLE)
_MOST_BYTES_OF_INTEGER: Final = 5  # 2^32 and more means nothing in HTTP/2

Field = tuple[bytes, bytes]


class FieldDecoder:
    """One direction of one connection. `most_fields` and `most_bytes` bound one block, cookies not counted among the fields."""

    __slots__ = ("_entries", "_most_bytes", "_most_fields", "_size", "_used", "is_too_large")

    def __init__(self, most_fields: int, most_bytes: int) -> None:
        self._most_fields = most_fields
        self._most_bytes = most_bytes
        self._entries: list[Field] = []  # the newest last
        self._used = 0  # bytes, as RFC 7541 counts them
        self._size = TABLE_BYTES  # that the peer has chosen
        self.is_too_large = False  # the last block was, and its fields were dropped

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a whole block. ConnectionFault: nothing can be read on this connection any more."""
        self.is_too_large = False
        fields: list[Field] = []
        count = cookies = total = position = 0
        end = len(block)
        may_resize = 2  # RFC 7541 section 4.2: at most the smallest size and the last one, at the begin of a block
        while position < end:
            first = block[position]
            if first & 0x80:  # indexed
                index, position = _integer(block, position, 0x7F)
                field = self._entry(index)
            elif first & 0x40:  # a literal that enters the table
                field, position = self._literal(block, position, 0x3F)
                self._add(field)
            elif first & 0x20:
                if count or not may_resize:
                    raise ConnectionFault(COMPRESSION_ERROR, "the table's size is changed within a block")
                may_resize -= 1
                size, position = _integer(block, position, 0x1F)
                if size > TABLE_BYTES:
                    raise ConnectionFault(COMPRESSION_ERROR, "the table's size is above what SETTINGS allow")
                self._size = size
                self._evict(0)
                continue
            else:  # a literal that does not enter it; 0x10: nor may it ever
                field, position = self._literal(block, position, 0x0F)
            count += 1
            cookies += field[0] == b"cookie"
            total += len(field[0]) + len(field[1]) + ENTRY_BYTES
            if count - cookies > self._most_fields or cookies > COOKIES or total > self._most_bytes:
                self.is_too_large = True
                fields.clear()
                if (
                    count - cookies > BEYOND * self._most_fields
                    or cookies > BEYOND * COOKIES
                    or total > BEYOND * self._most_bytes
                ):
                    raise ConnectionFault(ENHANCE_YOUR_CALM, "a head that is far larger than may be")
            else:
                fields.append(field)
        return [] if self.is_too_large else fields

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Field, int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _entry(self, index: int) -> Field:
        if 0 < index <= _STATIC:
            return STATIC_TABLE[index - 1]
        place = _STATIC + len(self._entries) - index
        if not index or place < 0:
            raise ConnectionFault(COMPRESSION_ERROR, f"index {index} is of nothing in the table")
        return self._entries[place]

    def _add(self, field: Field) -> None:
        size = len(field[0]) + len(field[1]) + ENTRY_BYTES
        self._evict(size)
        if size <= self._size:  # a larger one empties the table, and that is all (RFC 7541 section 4.4)
            self._entries.append(field)
            self._used += size

    def _evict(self, room: int) -> None:
        entries = self._entries
        gone = 0
        while gone < len(entries) and self._used + room > self._size:
            name, value = entries[gone]
            self._used -= len(name) + len(value) + ENTRY_BYTES
            gone += 1
        if gone:
            del entries[:gone]


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """An integer whose first bits are `mask` of the byte here, and what follows it (RFC 7541 section 5.1)."""
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    for at in range(position, min(position + _MOST_BYTES_OF_INTEGER, len(block))):
        byte = block[at]
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise ConnectionFault(COMPRESSION_ERROR, "an integer has no end")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    if position >= len(block):
        raise ConnectionFault(COMPRESSION_ERROR, "a block ends within a field")
    is_huffman = block[position] & 0x80
    length, position = _integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise ConnectionFault(COMPRESSION_ERROR, "a block ends within a field")
    text = block[position:end]
    return (decode(text) if is_huffman else text), end
