"""`grpc-message`: text of UTF-8 in a field, percent-encoded (PROTOCOL-HTTP2, "Responses")."""

from __future__ import annotations

import re
from typing import Final

_ESCAPED: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")


def encode_message(text: str) -> bytes:
    """The value of the field. Blanks at its ends are encoded as well: a field's value has none there (RFC 9110 section 5.5)."""
    value = _ESCAPED.sub(_escape, text.encode("utf-8", "replace"))
    if value[:1] == b" ":
        value = b"%20" + value[1:]
    return value[:-1] + b"%20" if value[-1:] == b" " else value


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(found[0])
