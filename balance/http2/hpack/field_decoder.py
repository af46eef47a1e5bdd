"""Reads blocks of header fields (RFC 7541): what a block says, within bounds of number and of bytes.

A block that passes the bounds is still read to its end, as the table that it changes is shared with those that follow; its
fields are dropped. One that is far beyond them ends the connection: some kilobytes of it would cost megabytes.
"""

from __future__ import annotations

from typing import Final

from balance.http2.errors import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ConnectionFault
from balance.http2.hpack.field import COOKIE, PSEUDO, STATIC_FIELDS, Field
from balance.http2.hpack.field_encoder import NEVER_INDEXED
from balance.http2.hpack.huffman import decode
from balance.http2.hpack.tail import LONGEST_TAIL, MOST_LINES_BYTES, MOST_TAILS, Tail

TABLE_BYTES: Final = 4096  # the table's size where SETTINGS say nothing (RFC 9113 section 6.5.2)
COOKIES: Final = 256  # `cookie` fields, counted apart: browsers send one for each cookie (RFC 9113 section 8.2.3)
BEYOND: Final = 4  # times the bound, where the connection ends
BEYOND_COOKIES: Final = 2  # likewise: to read a thousand of them takes two milliseconds as Python, and no browser sends so many
_STATIC: Final = len(STATIC_FIELDS) - 1
_MOST_BYTES_OF_INTEGER: Final = 5  # 2^32 and more means nothing in HTTP/2

# Literals that were met, by their bytes, where these say all: the name is one of the static table, or written out. Those that
# enter a table are apart, as targets, which do not with most clients, are another each time. A table that is full begins anew.
MOST_KNOWN: Final = 512
_entering: Final[dict[bytes, Field]] = {}
_passing: Final[dict[bytes, Field]] = {}


class FieldDecoder:
    """One direction of one connection. `most_fields` and `most_bytes` bound one block, cookies not counted among the fields."""

    __slots__ = (
        "_entries",
        "_has_changed",
        "_most_bytes",
        "_most_fields",
        "_size",
        "_tails",
        "_used",
        "is_too_large",
        "new_tail",
        "tail",
    )  # fmt: skip

    def __init__(self, most_fields: int, most_bytes: int) -> None:
        self._most_fields = most_fields
        self._most_bytes = most_bytes
        self._entries: list[Field] = []  # the newest last
        self._used = 0  # bytes, as RFC 7541 counts them
        self._size = TABLE_BYTES  # that the peer has chosen
        self._has_changed = False  # the table, since a tail began
        self._tails: dict[bytes, Tail] | None = None
        self.is_too_large = False  # the last block was, and its fields were dropped
        self.tail: Tail | None = None  # what follows the fields of the last block, if it is known
        self.new_tail: Tail | None = None  # or may be remembered, when its reader has filled it

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a whole block. ConnectionFault: nothing can be read on this connection any more."""
        return self._decode(block, looks_for_tail=False)

    def decode_head(self, block: bytes) -> list[Field]:
        """The same; where `tail` is not None then, what follows the pseudo-fields is there instead."""
        return self._decode(block, looks_for_tail=True)

    def remember(self, tail: Tail) -> None:
        """`new_tail`, filled: for the blocks that end like it, as long as the table does not change."""
        if len(tail.lines) > MOST_LINES_BYTES:
            return
        tails = self._tails
        if tails is None:
            self._tails = {tail.encoded: tail}
            return
        if len(tails) >= MOST_TAILS:
            tails.clear()
        tails[tail.encoded] = tail

    def _decode(self, block: bytes, *, looks_for_tail: bool) -> list[Field]:
        self.is_too_large = False
        self.tail = None
        self.new_tail = None
        fields: list[Field] = []
        count = cookies = total = position = 0
        tail_at = -1  # where one begins that may be remembered
        count_before = cookies_before = total_before = 0
        end = len(block)
        may_resize = 2  # RFC 7541 section 4.2: at most the smallest size and the last one, at the begin of a block
        while position < end:
            first = block[position]
            start = position
            if first & 0x80:  # indexed
                index = first & 0x7F
                if index < 0x7F:
                    position += 1
                else:
                    index, position = _integer(block, position, 0x7F)
                field = STATIC_FIELDS[index] if 0 < index <= _STATIC else self._entry(index)
            elif first & 0x40:  # a literal that enters the table
                field, position = self._literal(block, position, 0x3F, _entering)
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
                field, position = self._literal(block, position, 0x0F, _passing)
            if looks_for_tail and field.group != PSEUDO:
                looks_for_tail = False
                if first & 0xC0 != 0x40 and end - start <= LONGEST_TAIL:
                    tail_at = start
                    count_before, cookies_before, total_before = count, cookies, total
                    self._has_changed = False
                    tail = self._known_tail(block[start:], count, total)
                    if tail is not None:
                        self.tail = tail
                        return fields
            count += 1
            if field.group == COOKIE:
                cookies += 1
            total += field.size
            if count - cookies > self._most_fields or cookies > COOKIES or total > self._most_bytes:
                self.is_too_large = True
                fields.clear()
                if (
                    count - cookies > BEYOND * self._most_fields
                    or cookies > BEYOND_COOKIES * COOKIES
                    or total > BEYOND * self._most_bytes
                ):
                    raise ConnectionFault(ENHANCE_YOUR_CALM, "a head that is far larger than may be")
            else:
                fields.append(field)
        if self.is_too_large:
            return []
        if tail_at >= 0 and not self._has_changed:
            self.new_tail = Tail(block[tail_at:], count - count_before, cookies - cookies_before, total - total_before)
        return fields

    def _known_tail(self, encoded: bytes, count: int, total: int) -> Tail | None:
        """One that is remembered, and passes no bound behind so many pseudo-fields; its cookies alone did not."""
        tails = self._tails
        if not tails:
            return None
        tail = tails.get(encoded)
        if tail is None:
            return None
        if count + tail.count - tail.cookies > self._most_fields or total + tail.total > self._most_bytes:
            return None
        return tail

    def _literal(self, block: bytes, position: int, mask: int, known: dict[bytes, Field]) -> tuple[Field, int]:
        encoded = _plain_literal(block, position, mask)
        if encoded is not None:
            field = known.get(encoded)
            if field is not None:
                return field, position + len(encoded)
        is_never_indexed = block[position] & 0xF0 == 0x10
        index, position = _integer(block, position, mask)
        if index:
            name = STATIC_FIELDS[index].name if index <= _STATIC else self._entry(index).name
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        field = Field(name, value)
        if encoded is not None and not is_never_indexed and name not in NEVER_INDEXED:
            if len(known) >= MOST_KNOWN:
                known.clear()
            known[encoded] = field
        return field, position

    def _entry(self, index: int) -> Field:
        if 0 < index <= _STATIC:
            return STATIC_FIELDS[index]
        place = _STATIC + len(self._entries) - index
        if not index or place < 0:
            raise ConnectionFault(COMPRESSION_ERROR, f"index {index} is of nothing in the table")
        return self._entries[place]

    def _add(self, field: Field) -> None:
        self._change()
        self._evict(field.size)
        if field.size <= self._size:  # a larger one empties the table, and that is all (RFC 7541 section 4.4)
            self._entries.append(field)
            self._used += field.size

    def _evict(self, room: int) -> None:
        entries = self._entries
        gone = 0
        while gone < len(entries) and self._used + room > self._size:
            self._used -= entries[gone].size
            gone += 1
        if gone:
            self._change()
            del entries[:gone]

    def _change(self) -> None:
        """The table is another one: what an index means has changed."""
        self._has_changed = True
        if self._tails:
            self._tails.clear()


def _plain_literal(block: bytes, position: int, mask: int) -> bytes | None:
    """The bytes of a literal that say all of it, if its index and its lengths are of one byte. None: it has to be read."""
    index = block[position] & mask
    if index == mask or index > _STATIC:
        return None
    end = len(block)
    at = position + 1
    if not index:
        if at >= end or block[at] & 0x7F == 0x7F:
            return None
        at += 1 + (block[at] & 0x7F)
    if at >= end or block[at] & 0x7F == 0x7F:
        return None
    at += 1 + (block[at] & 0x7F)
    return block[position:at] if at <= end else None


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
