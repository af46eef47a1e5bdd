"""A request of HTTP/2 as the text of an HTTP/1.1 head that says the same; the listener's reader reads it as any other.

A WebSocket over HTTP/2 (RFC 8441) becomes the handshake of HTTP/1.1, with a key of ours.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Final

from balance.http1.fields import remove_named
from balance.http2.message_fields import NO_LENGTH
from balance.http2.request_head import RequestHead

# Servers may want to be told that there is no content, where the method is one that has some (RFC 9110 section 8.6).
_WITH_CONTENT: Final = frozenset((b"POST", b"PUT", b"PATCH"))
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_OF_HANDSHAKES: Final = frozenset((b"sec-websocket-key", b"content-length"))  # RFC 8441 section 5: of HTTP/1.1 alone


def request_text(head: RequestHead, *, ends: bool) -> bytes:
    """The head of a request that has no content where it `ends`; content without a length goes on in chunks."""
    framing = b""
    if head.length == NO_LENGTH:
        if not ends:
            framing = b"Transfer-Encoding: chunked\r\n"
        elif head.method in _WITH_CONTENT:
            framing = b"Content-Length: 0\r\n"
    return _text(head.method, head, head.lines, framing)


def handshake_key() -> bytes:
    """The Sec-WebSocket-Key of one handshake."""
    return base64.b64encode(os.urandom(16))


def accept_of(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers this key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def handshake_text(head: RequestHead, key: bytes) -> bytes:
    """The head of an extended CONNECT for `websocket` as a handshake with this key."""
    lines = remove_named(head.lines, _OF_HANDSHAKES)
    return _text(b"GET", head, lines, b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %b\r\n" % key)


def _text(method: bytes, head: RequestHead, lines: bytes, framing: bytes) -> bytes:
    authority = head.authority
    return b"".join((
        method, b" ", head.target or authority, b" HTTP/1.1\r\nHost: ", authority, b"\r\n", lines, framing, b"\r\n",
    ))  # fmt: skip


def urgency(priority: bytes) -> int:
    """That of a Priority field (RFC 9218 section 4.1), 0 to 7; 3 where it says none."""
    at = priority.find(b"u=")
    if at >= 0 and (at == 0 or priority[at - 1 : at] in (b" ", b",")):
        digit = priority[at + 2 : at + 3]
        if digit in (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7") and digit:
            return digit[0] - 48
    return 3
