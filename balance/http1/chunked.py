"""The chunked transfer coding (RFC 9112 section 7.1): parsing, and what is forwarded.

Chunk extensions are dropped: they are hop-by-hop, unused, and have been used for request smuggling. Trailers that would change
the message are dropped; `underscore_headers` applies to their names as to header fields.
"""

from __future__ import annotations

import re
from typing import Final

from balance.http1.fields import TEXT, is_allowed_in_trailers, is_field_name
from balance.http1.framing import show

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?")
# Old Apache versions pad sizes with spaces.
_PADDED_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]{0,16}(;[\t\x20-\x7e\x80-\xff]*)?")
_PLAIN_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_BEGUN_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}\r?")  # of a plain line whose end has not come
_PLAIN_LINE: Final = 17  # bytes of the longest, its CRLF among them
MAX_EXTENSION: Final = 256  # bytes of one chunk's extensions
# The limit on extension bytes in excess of the allowance, which is FREE_EXTENSION per chunk plus EXTENSION_RATIO times its
# content. A chunk's unused allowance reduces the excess of earlier ones, so that long streams do not add up. A limit like the
# fix of Go's CVE-2023-39326.
MAX_EXCESS: Final = 16 * 1024
FREE_EXTENSION: Final = 32
EXTENSION_RATIO: Final = 4
ANY: Final = 1 << 60  # lines at once
_MAX_SIZE_LINE: Final = MAX_EXTENSION + 32
_LAST: Final = b"0\r\n\r\n"
_LAST_SIZE: Final = b"0\r\n"
_CR: Final = 13
_LF: Final = 10

# The states. Plain numbers: they are compared several times for each read.
SIZE: Final = 0
DATA: Final = 1
DATA_END: Final = 2
TRAILER: Final = 3
END: Final = 4

_SIZES_KEPT: Final = 512
_sizes: Final[dict[bytes, int]] = {}  # by their digits, as servers fill the same buffers again and again
# Whole ends of bodies that were read, and the trailers in them: calls of gRPC have the same few.
_ENDS_KEPT: Final = 64
_LONG_END: Final = 64
_ends: Final[dict[bytes, bytes]] = {}
_NAMES_KEPT: Final = 256
_LONG_NAME: Final = 64
_names: Final[set[bytes]] = set()  # of trailers, that are tokens


def _plain_size(digits: bytes) -> int:
    """The size that a line without extensions says; -1 if it is no such line."""
    if _PLAIN_SIZE.fullmatch(digits) is None:
        return -1
    size = int(digits, 16)
    if len(_sizes) >= _SIZES_KEPT:
        _sizes.clear()
    _sizes[digits] = size
    return size


def _is_name(name: bytes) -> bool:
    if name in _names:
        return True
    if not is_field_name(name):
        return False
    if len(name) <= _LONG_NAME:
        if len(_names) >= _NAMES_KEPT:
            _names.clear()
        _names.add(name)
    return True


def is_whole(data: bytes) -> bool:
    """Whether `data` is one whole body of plain chunks, with nothing after it: see ChunkedBody."""
    if not data.endswith(_LAST):
        return False
    position, end = 0, len(data)
    while True:
        line_end = data.find(b"\r\n", position, position + _PLAIN_LINE)
        if line_end < 0:
            return False
        digits = data[position:line_end]
        size = _sizes.get(digits)
        if size is None:
            size = _plain_size(digits)
        if size <= 0:
            return size == 0 and line_end + 4 == end  # it ends with _LAST
        position = line_end + 2 + size
        if position + 2 > end or data[position] != _CR or data[position + 1] != _LF:
            return False
        position += 2


class ChunkedBody:
    """feed() returns the bytes to forward. After `is_done`, `rest` has the bytes after the message.

    With `decode` only the content is forwarded, for clients without this coding; `trailers` then has the lines of those that
    may be passed on. Where `lines_at_once` is set, feed() stops after so many lines of sizes and trailers, which are what
    costs; then `rest` has the bytes to feed later.

    Chunks are plain whose size line is nothing but digits, and so is a last one that no trailers follow: they go on as they
    came, whole reads at a time. While `is_plain`, nothing else was read. `doubted` has what the feed() that came upon anything
    else had from there on.
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
        "doubted",
        "is_plain",
        "lines_at_once",
        "payload",
        "rest",
        "trailers",
    )  # fmt: skip

    def __init__(
        self, *, decode: bool = False, underscores: str = "drop", is_tolerant: bool = False, trailers_limit: int = 8192
    ) -> None:
        """`underscores` (drop, pass, reject) applies to trailers with a _ in their name. `is_tolerant` accepts white space
        after a chunk size, and removes it."""
        self._state: int = SIZE
        self._left = 0  # remaining bytes of the chunk
        self._buffer = b""  # an incomplete line
        self._decode = decode
        self._excess = 0  # extension bytes in excess of the allowance
        self._underscores = underscores
        self._size_line = _PADDED_SIZE if is_tolerant else _SIZE
        self._trailers = 0
        self._trailers_limit = trailers_limit
        self._lines: int = 0  # how many more in this feed()
        self.lines_at_once: int = ANY
        self.is_plain = not decode
        self.doubted = b""
        self.payload = 0  # bytes of content so far
        self.rest = b""
        self.trailers = b""

    @property
    def is_done(self) -> bool:
        return self._state == END

    @property
    def buffered(self) -> bytes:
        """An incomplete line."""
        return self._buffer

    def feed(self, data: bytes) -> bytes:
        """The bytes to forward for `data`. ValueError with a reason when the chunks are malformed."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        self._lines = self.lines_at_once
        if not self.is_plain:
            self.doubted = b""
            if self._decode and self._state == SIZE and not self._excess:
                content, position = self._content_of_plain_chunks(data)
                if position == len(data):
                    self.rest = b""
                    return content
                return content + self._end_of_content(data, position)
            return self._feed_any(data, 0, 0)
        position = self._plain_chunks(data, 0)
        self.rest = b""
        if position == len(data):
            return data
        if self._state == END or not self._lines:
            self.rest = data[position:]
        elif self._is_begun(data, position):
            self._buffer = data[position:]
        else:
            self.is_plain = False
            self.doubted = data[position:]
            return self._feed_any(data, position, 0)
        return data[:position]

    def _end_of_content(self, data: bytes, position: int) -> bytes:
        """feed() from `position` on, where no plain chunk is, or one that is not whole."""
        end = data[position:] if len(data) - position <= _LONG_END else b""
        if not end or self.lines_at_once != ANY or self._trailers_limit < _LONG_END:
            return self._feed_any(data, position, position)
        trailers = _ends.get(end)
        if trailers is not None:
            self._state = END
            self.trailers = trailers
            self.rest = b""
            return b""
        out = self._feed_any(data, position, position)
        # Of a name with an underscore, it depends what becomes of it.
        if self._state == END and not self.rest and end.startswith(_LAST_SIZE) and b"_" not in end:
            if len(_ends) >= _ENDS_KEPT:
                _ends.clear()
            _ends[end] = self.trailers
        return out

    def _content_of_plain_chunks(self, data: bytes) -> tuple[bytes, int]:
        """The content of the plain chunks with which `data` begins, and where the first that is none, or not whole, begins."""
        parts: list[bytes] = []
        position, end = 0, len(data)
        while self._lines:
            line_end = data.find(b"\r\n", position, position + _PLAIN_LINE)
            if line_end < 0:
                break
            digits = data[position:line_end]
            size = _sizes.get(digits)
            if size is None:
                size = _plain_size(digits)
            begin = line_end + 2
            after = begin + size
            if size <= 0 or after + 2 > end or data[after] != _CR or data[after + 1] != _LF:
                break
            parts.append(data[begin:after])
            self.payload += size
            self._lines -= 1
            position = after + 2
        return parts[0] if len(parts) == 1 else b"".join(parts), position

    def _feed_any(self, data: bytes, position: int, run: int) -> bytes:
        """feed() from `position` on: chunks that are not plain, or whose content alone is wanted. What is between `run` and
        `position` is forwarded unchanged.
        """
        out: list[bytes] = []
        end = len(data)
        has_stopped = False
        while position < end and self._state != END:
            if self._state == SIZE and not self._decode and not self._excess:
                position = self._plain_chunks(data, position)
                if position >= end or self._state == END:
                    break
            if self._state == DATA:
                step = min(self._left, end - position)
                self._left -= step
                self.payload += step
                position += step
                if not self._left:
                    self._state = DATA_END
                continue
            if self._state == DATA_END:
                if data[position : position + 2] != b"\r\n":
                    if data[position:] == b"\r":
                        break
                    raise ValueError("a chunk's data is not as long as its size says")
                line_end = position
                replacement = b"" if self._decode else None
                self._state = SIZE
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
                replacement = self._size(line) if self._state == SIZE else self._trailer(line)
            if replacement is not None:
                out.append(data[run:position])
                out.append(replacement)
                run = line_end + 2
            position = line_end + 2
        out.append(data[run:position])
        if has_stopped or self._state == END:
            self.rest = data[position:]
        else:
            self._buffer = data[position:]
            self.rest = b""
        return b"".join(out)

    def _plain_chunks(self, data: bytes, position: int) -> int:
        """Go over plain chunks, and the rest of one that has begun, to where something else is or more has to come.

        By size line and content, never by the byte: a line costs a search in 17 bytes and a look at sizes seen before.
        """
        end, state, left = len(data), self._state, self._left
        if state == DATA:
            here = end - position
            if here < left:
                self._left = left - here
                self.payload += here
                return end
            self.payload += left
            position += left
            self._left = left = 0
            self._state = state = DATA_END
        if state == DATA_END:
            if position + 2 > end or data[position] != _CR or data[position + 1] != _LF:
                return position
            position += 2
            state = SIZE
        if state != SIZE:
            return position
        lines, payload = self._lines, self.payload
        while lines:
            line_end = data.find(b"\r\n", position, position + _PLAIN_LINE)
            if line_end < 0:
                break
            digits = data[position:line_end]
            size = _sizes.get(digits)
            if size is None:
                size = _plain_size(digits)
            begin = line_end + 2
            if size <= 0:
                if size == 0 and begin + 2 <= end and data[begin] == _CR and data[begin + 1] == _LF:
                    lines -= 1
                    position = begin + 2
                    state = END
                break
            lines -= 1
            position = begin + size
            if position + 2 <= end and data[position] == _CR and data[position + 1] == _LF:
                payload += size
                position += 2
                continue
            if position > end:
                left = position - end
                payload += size - left
                position = end
                state = DATA
            else:
                payload += size
                state = DATA_END
            break
        self._lines, self.payload, self._left, self._state = lines, payload, left, state
        return position

    def _is_begun(self, data: bytes, position: int) -> bool:
        """Whether what there is from `position` on may still become a part of a plain chunk."""
        if self._state == DATA_END:
            return position + 1 == len(data) and data[position] == _CR
        return _BEGUN_SIZE.fullmatch(data, position) is not None

    def frame(self, held: bytes) -> bytes:
        """Stop decoding: from now on chunks are forwarded. `held` is all that was forwarded so far, which becomes the first.

        In the middle of a chunk, it and the rest of that chunk are one: what follows is to be forwarded after this result.
        """
        self._decode = False
        state = self._state
        last = b"0\r\n\r\n" if state == END else b"0\r\n" if state == TRAILER else b""
        if not held and not self._left:
            return last
        head = b"%x\r\n" % (len(held) + self._left)
        return head + held + (b"" if state in (DATA, DATA_END) else b"\r\n") + last

    def _size(self, line: bytes) -> bytes | None:
        """Parse a size line. Returns its replacement, None to forward the line as it is."""
        match = self._size_line.fullmatch(line)
        if match is None:
            raise ValueError(f"{show(line)} is not a chunk size")
        size, extension = match.groups()
        self._left = int(size, 16)
        self._state = DATA if self._left else TRAILER
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
            self._state = END
            return b"" if self._decode else None
        self._trailers += len(line) + 2
        if self._trailers > self._trailers_limit:
            raise ValueError(f"trailers of more than {self._trailers_limit} bytes")
        name, colon, value = line.partition(b":")
        if not colon or not _is_name(name) or value.translate(TEXT) != value:
            raise ValueError(f"{show(line)} is not a trailer")
        if not is_allowed_in_trailers(name):
            return b""
        if b"_" in name and self._underscores != "pass":
            if self._underscores == "reject" and not self._decode:
                raise ValueError(f"the trailer name {show(name)} has an underscore")
            return b""
        if self._decode:
            self.trailers += line + b"\r\n"
            return b""
        return None

    def _refuse_endless(self, data: bytes, position: int) -> None:
        """Refuse an incomplete line that is too long or has a bare LF, which some parsers take for its end."""
        limit = _MAX_SIZE_LINE if self._state is SIZE else self._trailers_limit - self._trailers
        if len(data) - position > limit:
            raise ValueError(f"a chunk's line of more than {limit} bytes")
        if data.find(b"\n", position) >= 0:
            raise ValueError("a bare LF in a chunk's line")
