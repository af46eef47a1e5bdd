"""Changes the field lines of a reply that is compressed, or that another client would get compressed."""

from __future__ import annotations

import re
from typing import Final

_ACCEPT_ENCODING: Final = b"accept-encoding"
_VARY: Final = re.compile(rb"(?i)\nvary:[ \t]*([^\r\n]*)")
_ETAG: Final = re.compile(rb"(?i)\netag:[ \t]*([^\r\n]*)\r\n")
# What is of the bytes before they were compressed: lengths, digests (RFC 9530, RFC 3230, RFC 1864), and the offer of ranges of
# them. Trailers are dropped with the framing that had them.
_OF_OTHER_BYTES: Final = re.compile(
    rb"(?i)\n(?:content-length|content-md5|digest|content-digest|repr-digest|accept-ranges|trailer):[^\r\n]*\r(?=\n)"
)
_STRONG_TAG: Final = re.compile(rb'"[\x21\x23-\x7e\x80-\xff]*"')  # RFC 9110 section 8.8.3
WEAK: Final = b"W/"


def with_vary(lines: bytes) -> bytes:
    """`lines` with Accept-Encoding in Vary (RFC 9110 section 12.5.5), in the first such line if there is one."""
    first = None
    for match in _VARY.finditer(lines):
        members = [member.strip(b" \t") for member in match[1].lower().split(b",")]
        if _ACCEPT_ENCODING in members or b"*" in members:
            return lines
        first = first or match
    if first is None:
        return lines + b"Vary: Accept-Encoding\r\n"
    value = first[1].rstrip(b" \t,")
    start, end = first.span(1)
    return b"%b%b%bAccept-Encoding%b" % (lines[:start], value, b", " if value else b"", lines[end:])


def compressed(lines: bytes, coding: bytes) -> bytes:
    """The lines of the reply that is compressed, without those for its new framing."""
    lines = _OF_OTHER_BYTES.sub(b"", lines)
    return b"%bContent-Encoding: %b\r\n" % (with_vary(weakened(lines)), coding)


def weakened(lines: bytes) -> bytes:
    """`lines` with a weak ETag: the compressed bytes are not those that a strong one is for (RFC 9110 section 8.8.1).

    A malformed one is dropped, as nginx does: it cannot be weakened.
    """
    match = _ETAG.search(lines)
    if match is None:
        return lines
    tag = match[1].rstrip(b" \t")
    if tag.startswith(WEAK):
        return lines
    if _STRONG_TAG.fullmatch(tag) is None:
        return lines[: match.start() + 1] + lines[match.end() :]
    return lines[: match.start(1)] + WEAK + lines[match.start(1) :]


def entity_tag(lines: bytes) -> bytes:
    """The value of ETag; b"" without one."""
    match = _ETAG.search(lines)
    return b"" if match is None else match[1].rstrip(b" \t")
