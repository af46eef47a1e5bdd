"""Which replies may be compressed, by their head (RFC 9110 section 8.4, RFC 9111 section 5.2.2.6).

Never: what is encoded already or says `no-transform`, parts (206, Content-Range: ranges count encoded bytes), what has no
content (1xx, 204, 205, 304), what is known to be small, and types that are not asked for.
"""

from __future__ import annotations

import re
from typing import Final

from balance.compression.media_types import MediaTypes

# The fields that decide. Others are not looked at.
_FIELDS: Final = re.compile(rb"\n(content-type|content-encoding|content-range|content-length|cache-control):[ \t]*([^\r\n]*)")
_NO_TRANSFORM: Final = re.compile(rb"(?:\A|[,\s])no-transform(?:\Z|[,;=\s])")
_WITHOUT_CONTENT: Final = frozenset((204, 205, 206, 304))


def is_eligible(status: int, lines: bytes, types: MediaTypes, min_size: int) -> bool:
    """Whether a client that accepts it gets this reply compressed, as for a GET. One of unknown length is not small.

    `lines` are the status line and the field lines.
    """
    if status < 200 or status in _WITHOUT_CONTENT:
        return False
    content_type = b""
    for name, value in _FIELDS.findall(lines.lower()):
        value = value.rstrip(b" \t")
        if name == b"content-type":
            if content_type:
                return False  # two types: whose reading counts is not for us to say
            content_type = value
        elif name == b"cache-control":
            if is_no_transform(value):
                return False
        elif name == b"content-length":  # at most 18 digits, as the reader of the head has checked
            if int(value) < min_size:
                return False
        else:  # Content-Encoding, also `identity`, with which applications ask for no compression; Content-Range
            return False
    return types.has(content_type)


def may_change_stored(lines: bytes, types: MediaTypes) -> bool:
    """Whether a 304 may be for a reply that was compressed: its fields, where it has them, do not say that it was not."""
    for name, value in _FIELDS.findall(lines.lower()):
        if name == b"content-encoding" or (name == b"cache-control" and is_no_transform(value)):
            return False
        if name == b"content-type" and not types.has(value.rstrip(b" \t")):
            return False
    return True


def is_no_transform(cache_control: bytes) -> bool:
    """Whether a lower-case Cache-Control has no-transform."""
    return _NO_TRANSFORM.search(cache_control) is not None
