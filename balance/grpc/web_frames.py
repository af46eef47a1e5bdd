"""gRPC-Web: trailers as the last frame of the body, and the variant in base64 (PROTOCOL-WEB)."""

from __future__ import annotations

import binascii
from typing import Final

_TRAILERS: Final = 0x80  # the flag of the frame that has them


def trailers_frame(lines: bytes) -> bytes:
    """The frame of these field lines, each with its CRLF; their names in lower case, without a blank behind the colon."""
    block = b"".join(
        b"%b:%b\r\n" % (name.lower(), value.strip(b" \t\r\n"))
        for name, colon, value in (line.partition(b":") for line in lines.splitlines())
        if colon
    )
    return b"%c%b%b" % (_TRAILERS, len(block).to_bytes(4, "big"), block)


def encode_text(data: bytes) -> bytes:
    """Base64 of `data`, padded: what is sent leaves at once, and readers decode padding anywhere between groups of four."""
    return binascii.b2a_base64(data, newline=False)


class TextDecoder:
    """Base64 as it comes, padded wherever its sender has flushed."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""  # of an incomplete group of four

    @property
    def is_whole(self) -> bool:
        """Whether nothing of a group is missing."""
        return not self._held

    def feed(self, data: bytes) -> bytes:
        """The bytes that `data` completes. ValueError for what is not base64."""
        data = self._held + data
        whole = len(data) & ~3
        self._held = data[whole:]
        parts = []
        at = 0
        while at < whole:  # by an index: copies of the rest would make many small groups cost their square
            pad = data.find(b"=", at, whole)
            end = whole if pad < 0 else (pad | 3) + 1
            parts.append(binascii.a2b_base64(data[at:end], strict_mode=True))
            at = end
        return b"".join(parts)
