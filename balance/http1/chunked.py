"""Chunked bodies (RFC 9112 section 7.1): where they end, and what of them is passed on.

Chunk extensions end here: they are hop by hop, nobody uses them, and they have hidden requests. Trailers that would change
what the message means are dropped; those with an underscore in their name follow `underscore_headers`, as fields of a head do.
"""

from __future__ import annotations

import enum
import re

from balance.http1.fields import is_allowed_in_trailers, is_field_name
from balance.http1.framing import show

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?")
_PADDED_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]{0,16}(;[\t\x20-\x7e\x80-\xff]*)?")  # Apache once wrote `5     `
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
MAX_EXTENSION = 256  # bytes of one chunk's extensions
# Bytes of extensions beyond a message's due: FREE_EXTENSION for each chunk, and SHARE times its content, which is about what a
# chunk of one byte costs without any. Never summed over a stream: what a chunk leaves of its due pays for what the chunks
# before it took too much. A bound of this kind closed Go's CVE-2023-39326.
MAX_EXCESS = 16 * 1024
FREE_EXTENSION = 32
SHARE = 4
_MAX_SIZE_LINE = MAX_EXTENSION + 32


class _At(enum.IntEnum):
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILER = 3
    END = 4


class ChunkedBody:
    """Feed it what comes; it returns what goes on. After `is_done`, `rest` holds the bytes that follow the message.

    With `decode` the payload alone goes on, for a client that can't read chunks (HTTP/1.0).
    """

    __slots__ = ("_at", "_carry", "_decode", "_excess", "_left", "_size_line", "_trailers", "_trailers_limit", "_underscores",
                 "payload", "rest")  # fmt: skip

    def __init__(
        self, *, decode: bool = False, underscores: str = "drop", is_tolerant: bool = False, trailers_limit: int = 8192
    ) -> None:
        """`underscores` is what becomes of trailers that have one in their name: drop, pass, reject. One that `is_tolerant`
        reads sizes with white space behind them, and takes it off."""
        self._at = _At.SIZE
        self._left = 0  # bytes of the chunk still to come
        self._carry = b""  # a line that is not complete yet
        self._decode = decode
        self._excess = 0  # bytes of chunk extensions beyond their due
        self._underscores = underscores
        self._size_line = _PADDED_SIZE if is_tolerant else _SIZE
        self._trailers = 0
        self._trailers_limit = trailers_limit
        self.payload = 0  # bytes of content so far
        self.rest = b""

    @property
    def is_done(self) -> bool:
        return self._at is _At.END

    @property
    def held(self) -> bytes:
        """What came of a line that is not complete."""
        return self._carry

    def feed(self, data: bytes) -> bytes:
        """The bytes to pass on for `data`. ValueError, with a reason, when the chunks are malformed."""
        if self._carry:
            data = self._carry + data
        out: list[bytes] = []
        position = run = 0  # data[run:position] goes on as it came
        end = len(data)
        while position < end and self._at is not _At.END:
            if self._at is _At.DATA:
                step = min(self._left, end - position)
                self._left -= step
                self.payload += step
                position += step
                if not self._left:
                    self._at = _At.DATA_END
                continue
            if self._at is _At.DATA_END:
                if data[position : position + 2] != b"\r\n":
                    if data[position:] == b"\r":
                        break
                    raise ValueError("a chunk's data is not as long as its size says")
                line_end = position
                instead = b"" if self._decode else None
                self._at = _At.SIZE
            else:
                line_end = data.find(b"\r\n", position)
                if line_end < 0:
                    self._refuse_endless(data, position)
                    break
                line = data[position:line_end]
                instead = self._size(line) if self._at is _At.SIZE else self._trailer(line)
            if instead is not None:
                out.append(data[run:position])
                out.append(instead)
                run = line_end + 2
            position = line_end + 2
        out.append(data[run:position])
        if self._at is _At.END:
            self._carry = b""
            self.rest = data[position:]
        else:
            self._carry = data[position:]
        return b"".join(out)

    def _size(self, line: bytes) -> bytes | None:
        """Begin the chunk of this size line. What goes on in its place, or None for the line itself."""
        match = self._size_line.fullmatch(line)
        if match is None:
            raise ValueError(f"{show(line)} is not a chunk size")
        size, extension = match.groups()
        self._left = int(size, 16)
        self._at = _At.DATA if self._left else _At.TRAILER
        if extension is not None:
            self._allow(len(extension))
        elif self._excess:
            self._allow(0)
        if self._decode:
            return b""
        return None if size == line else size + b"\r\n"

    def _allow(self, extension: int) -> None:
        """Extensions of so many bytes before the chunk that begins."""
        if extension > MAX_EXTENSION:
            raise ValueError(f"chunk extensions of more than {MAX_EXTENSION} bytes")
        self._excess = max(0, self._excess + extension - FREE_EXTENSION - SHARE * self._left)
        if self._excess > MAX_EXCESS:
            raise ValueError("more chunk extensions than content")

    def _trailer(self, line: bytes) -> bytes | None:
        """Take one line of the trailer section; an empty one ends the message."""
        if not line:
            self._at = _At.END
            return b"" if self._decode else None
        self._trailers += len(line) + 2
        if self._trailers > self._trailers_limit:
            raise ValueError(f"trailers of more than {self._trailers_limit} bytes")
        name, colon, value = line.partition(b":")
        if not colon or not is_field_name(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{show(line)} is not a trailer")
        if self._decode or not is_allowed_in_trailers(name):
            return b""
        if b"_" in name and self._underscores != "pass":
            if self._underscores == "reject":
                raise ValueError(f"the trailer name {show(name)} has an underscore")
            return b""
        return None

    def _refuse_endless(self, data: bytes, position: int) -> None:
        """A line that has not ended yet: bounded, and without the bare LF that some readers take for its end."""
        limit = _MAX_SIZE_LINE if self._at is _At.SIZE else self._trailers_limit - self._trailers
        if len(data) - position > limit:
            raise ValueError(f"a chunk's line of more than {limit} bytes")
        if data.find(b"\n", position) >= 0:
            raise ValueError("a bare LF in a chunk's line")
