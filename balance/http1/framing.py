"""Message body length (RFC 9112 section 6.3)."""

from __future__ import annotations

import enum
import re
from typing import Final

from balance.errors import ProtocolError
from balance.model import Why


class Framing(enum.IntEnum):
    """What ends a body."""

    NONE = 0  # there is no body
    LENGTH = 1  # Content-Length bytes
    CHUNKED = 2  # the last chunk
    UNTIL_CLOSE = 3  # the end of the connection; replies only


# A global is ten times faster to look up than an Enum member.
NO_BODY: Final = Framing.NONE
BY_LENGTH: Final = Framing.LENGTH
BY_CHUNKS: Final = Framing.CHUNKED
BY_CLOSE: Final = Framing.UNTIL_CLOSE

# No sign, list or white space (request smuggling), and fits into 64 bits.
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_CODING: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def content_length(values: list[bytes]) -> int:
    """The value of the Content-Length fields. ValueError when it is malformed or there is more than one.

    Stricter than RFC 9112 section 6.3 rule 5: equal duplicates and comma lists are refused too.
    """
    if len(values) != 1:
        raise ValueError("more than one Content-Length")
    if not _LENGTH.fullmatch(values[0]):
        raise ValueError(f"Content-Length {show(values[0])} is not a number")
    return int(values[0])


def is_chunked(values: list[bytes]) -> bool:
    """True when Transfer-Encoding is exactly ``chunked``; False for unknown codings that end with chunked.

    ValueError for everything else, since the end of the body is undefined (RFC 9112 section 6.3 rule 4).
    """
    if len(values) != 1:
        raise ValueError("more than one Transfer-Encoding")
    value = values[0].lower()
    if value == b"chunked":
        return True
    codings = [coding.strip(b" \t") for coding in value.split(b",")]
    known = all(_CODING.fullmatch(coding) for coding in codings) and b"identity" not in codings
    if known and codings[-1] == b"chunked" and codings.count(b"chunked") == 1:
        return False
    raise ValueError(f"Transfer-Encoding {show(values[0])} is not chunked")


def request_framing(lengths: list[bytes], codings: list[bytes], minor: int) -> tuple[Framing, int]:
    """Framing and length of a request's body. ProtocolError 400, or 501 for an unknown transfer coding."""
    try:
        if codings:
            if minor == 0:
                raise ValueError("Transfer-Encoding in HTTP/1.0")  # RFC 9112 section 6.1: faulty framing
            if lengths:
                raise ValueError("both Content-Length and Transfer-Encoding")  # RFC 9112 section 6.3 rule 3
            if not is_chunked(codings):
                raise ProtocolError(501, Why.NOT_IMPLEMENTED, f"transfer coding {show(codings[0])} is not supported")
            return Framing.CHUNKED, 0
        if lengths:
            length = content_length(lengths)
            return (Framing.LENGTH if length else Framing.NONE), length
    except ValueError as error:
        raise ProtocolError(400, Why.BAD_REQUEST, str(error)) from None
    return Framing.NONE, 0


def response_framing(lengths: list[bytes], codings: list[bytes], minor: int, status: int) -> tuple[Framing, int]:
    """Framing and length of a response's body, as for a GET. ProtocolError 502."""
    try:
        if codings:
            if minor == 0 or lengths or not is_chunked(codings):
                raise ValueError("ambiguous framing: Transfer-Encoding where it cannot be trusted")
            if status < 200 or status == 204:
                raise ValueError(f"Transfer-Encoding in a {status} reply")  # RFC 9112 section 6.1
            if status == 304:  # the same section: it describes the 200 response
                return Framing.NONE, 0
            return Framing.CHUNKED, 0
        length = content_length(lengths) if lengths else -1
    except ValueError as error:
        raise ProtocolError(502, Why.BAD_RESPONSE, str(error)) from None
    if status < 200 or status == 204 or status == 304:
        return Framing.NONE, 0
    if length < 0:
        return Framing.UNTIL_CLOSE, 0
    return (Framing.LENGTH if length else Framing.NONE), length


def show(value: bytes) -> str:
    """A peer's bytes for an error message: at most 60, ASCII, quoted."""
    return ascii(value[:60].decode("latin-1"))
