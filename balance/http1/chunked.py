"""The chunked transfer coding (RFC 9112 section 7.1): parsing, and what is forwarded.

Chunk extensions are dropped: they are hop-by-hop, unused, and have been used for request smuggling. Trailers that would change
the message are dropped; `underscore_headers` applies to their names as to header fields.
"""

from __future__ import annotations

import enum
import re

from balance.http1.fields import is_allowed_in_trailers, is_field_name
from balance.http1.framing import show

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?")
# Old Apache versions pad sizes with spaces.
_PADDED_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]{0,16}(;[\t\x20-\x7e\x80-\xff]*)?")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
MAX_EXTENSION = 256  # bytes of one chunk's extensions
# The limit on extension bytes in excess of the allowance, which is FREE_EXTENSION per chunk plus EXTENSION_RATIO times its
# content. A chunk's unused allowance reduces the excess of earlier ones, so that long streams do not add up. A limit like the
# fix of Go's CVE-2023-39326.
MAX_EXCESS = 16 * 1024
FREE_EXTENSION = 32
EXTENSION_RATIO = 4
ANY = 1 << 62  # lines at once
_MAX_SIZE_LINE = MAX_EXTENSION + 32


class _State(enum.IntEnum):
    SIZE = 0
    DATA = 1
    DATA_END = 2
    TRAILER = 3
    END = 4


class ChunkedBody:
    """feed() returns the bytes to forward. After `is_done`, `rest` has the bytes after the message.

    With `decode` only the content is forwarded, for HTTP/1.0 clients. Where `lines_at_once` is set, feed() stops after so many
    lines of sizes and trailers, which are what costs; then `rest` has the bytes to feed later.
    """

    __slots__ = (
        "_buffer",
        "_decode",
        "_excess",
        "_left",
        "_lines",
        "_size_line",
        "_state",
        "_trailers",
        "_trailers_limit",
        "_underscores",
        "lines_at_once",
        "payload",
        "rest",
    )  # fmt: skip

    def __init__(
        self, *, decode: bool = False, underscores: str = "drop", is_tolerant: bool = False, trailers_limit: int = 8192
    ) -> None:
        """`underscores` (drop, pass, reject) applies to trailers with a _ in their name. `is_tolerant` accepts white space
        after a chunk size, and removes it."""
        self._state = _State.SIZE
        self._left = 0  # remaining bytes of the chunk
        self._buffer = b""  # an incomplete line
        self._decode = decode
        self._excess = 0  # extension bytes in excess of the allowance
        self._underscores = underscores
        self._size_line = _PADDED_SIZE if is_tolerant else _SIZE
        self._trailers = 0
        self._trailers_limit = trailers_limit
        self._lines = 0  # how many more in this feed()
        self.lines_at_once = ANY
        self.payload = 0  # bytes of content so far
        self.rest = b""

    @property
    def is_done(self) -> bool:
        return self._state is _State.END

    @property
    def buffered(self) -> bytes:
        """An incomplete line."""
        return self._buffer

    def feed(self, data: bytes) -> bytes:
        """The bytes to forward for `data`. ValueError with a reason when the chunks are malformed."""
        if self._buffer:
            data = self._buffer + data
        out: list[bytes] = []
        position = run = 0  # data[run:position] is forwarded unchanged
        end = len(data)
        self._lines = self.lines_at_once
        has_stopped = False
        while position < end and self._state is not _State.END:
            if self._state is _State.SIZE and not self._decode and not self._excess:
                position = self._plain_chunks(data, position)
                if position >= end:
                    break
            if self._state is _State.DATA:
                step = min(self._left, end - position)
                self._left -= step
                self.payload += step
                position += step
                if not self._left:
                    self._state = _State.DATA_END
                continue
            if self._state is _State.DATA_END:
                if data[position : position + 2] != b"\r\n":
                    if data[position:] == b"\r":
                        break
                    raise ValueError("a chunk's data is not as long as its size says")
                line_end = position
                replacement = b"" if self._decode else None
                self._state = _State.SIZE
            else:
                if not self._lines:
                    has_stopped = True
                    break
                self._lines -= 1
                line_end = data.find(b"\r\n", position)
                if line_end < 0:
                    self._refuse_endless(data, position)
                    break
                line = data[position:line_end]
                replacement = self._size(line) if self._state is _State.SIZE else self._trailer(line)
            if replacement is not None:
                out.append(data[run:position])
                out.append(replacement)
                run = line_end + 2
            position = line_end + 2
        out.append(data[run:position])
        if has_stopped or self._state is _State.END:
            self._buffer = b""
            self.rest = data[position:]
        else:
            self._buffer = data[position:]
            self.rest = b""
        return b"".join(out)

    def _plain_chunks(self, data: bytes, position: int) -> int:
        """Go over whole chunks without extensions, which are forwarded as they are. Some clients make a chunk of each byte."""
        received, lines = 0, self._lines
        while lines and (match := _PLAIN_SIZE.match(data, position)) is not None:
            size = int(match[1], 16)
            data_end = match.end() + size
            if not size or data[data_end : data_end + 2] != b"\r\n":
                break
            received += size
            position = data_end + 2
            lines -= 1
        self.payload += received
        self._lines = lines
        return position

    def frame(self, held: bytes) -> bytes:
        """Stop decoding: from now on chunks are forwarded. `held` is all that was forwarded so far, which becomes the first.

        In the middle of a chunk, it and the rest of that chunk are one: what follows is to be forwarded after this result.
        """
        self._decode = False
        state = self._state
        last = b"0\r\n\r\n" if state is _State.END else b"0\r\n" if state is _State.TRAILER else b""
        if not held and not self._left:
            return last
        head = b"%x\r\n" % (len(held) + self._left)
        return head + held + (b"" if state is _State.DATA or state is _State.DATA_END else b"\r\n") + last

    def _size(self, line: bytes) -> bytes | None:
        """Parse a size line. Returns its replacement, None to forward the line as it is."""
        match = self._size_line.fullmatch(line)
        if match is None:
            raise ValueError(f"{show(line)} is not a chunk size")
        size, extension = match.groups()
        self._left = int(size, 16)
        self._state = _State.DATA if self._left else _State.TRAILER
        if extension is not None:
            self._allow(len(extension))
        elif self._excess:
            self._allow(0)
        if self._decode:
            return b""
        return None if size == line else size + b"\r\n"

    def _allow(self, extension: int) -> None:
        """Account for `extension` bytes of extensions of the chunk that begins. ValueError above the limits."""
        if extension > MAX_EXTENSION:
            raise ValueError(f"chunk extensions of more than {MAX_EXTENSION} bytes")
        self._excess = max(0, self._excess + extension - FREE_EXTENSION - EXTENSION_RATIO * self._left)
        if self._excess > MAX_EXCESS:
            raise ValueError("more chunk extensions than content")

    def _trailer(self, line: bytes) -> bytes | None:
        """Parse a line of the trailer section; an empty one ends the message. Returns its replacement, None for unchanged."""
        if not line:
            self._state = _State.END
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
        """Refuse an incomplete line that is too long or has a bare LF, which some parsers take for its end."""
        limit = _MAX_SIZE_LINE if self._state is _State.SIZE else self._trailers_limit - self._trailers
        if len(data) - position > limit:
            raise ValueError(f"a chunk's line of more than {limit} bytes")
        if data.find(b"\n", position) >= 0:
            raise ValueError("a bare LF in a chunk's line")
