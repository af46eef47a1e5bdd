"""The requests and replies that the benchmarks without sockets share."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode

REQUEST = (
    b"GET /1k?page=%b HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\n"
    b"Accept: text/html,application/json;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.5\r\n"
    b"Cookie: session=abcdef0123456789; theme=dark\r\nReferer: http://www.example.com/some/page\r\n"
    b"Cache-Control: no-cache\r\nX-Api-Version: 2026-01-01\r\nAuthorization: Bearer abcdefghijklmnop%b\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Fri, 20 Nov 2026 18:11:52 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 1024\r\nConnection: keep-alive\r\nX-Trace: %b\r\n\r\n"
)
BODY = b"x" * 1024
GET, REPLY = REQUEST % (b"1", b"1"), RESPONSE % b"1" + BODY

SECRET = "a secret of thirty-two characters"


def _token() -> bytes:
    """A token that SECRET signs (RFC 7515), good until the year 2100."""
    parts = b".".join(
        urlsafe_b64encode(part).rstrip(b"=")
        for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"ann","role":"admin","exp":4102444800}')
    )
    signature = hmac.digest(SECRET.encode(), parts, "sha256")
    return parts + b"." + urlsafe_b64encode(signature).rstrip(b"=")


GET_WITH_TOKEN = GET.replace(b"Bearer abcdefghijklmnop1", b"Bearer " + _token())

_LENGTH = b"Content-Length: 1024\r\n"
POST = GET.replace(b"GET", b"POST", 1).replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\n" + _LENGTH + b"\r\n")
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
FRAME = b"\x81\x14" + b"x" * 20  # text of 20 bytes
MASKED = b"\x81\x94\0\0\0\0" + b"x" * 20  # the same from a client (RFC 6455 section 5.3)

# Replies as they are read: in several pieces, whose ends are nobody's.
LONG_REPLY = (RESPONSE.replace(b"1024", b"65536") % b"1" + b"x" * 32_000, b"x" * (65_536 - 32_000))
_PIECE = b"x" * 65_536
LONGER_REPLY = (RESPONSE.replace(b"1024", b"1048576") % b"1", *[_PIECE] * 16)
LONG_POST = (POST.replace(b"Content-Length: 1024", b"Content-Length: 65536"), _PIECE[:32_768], _PIECE[:32_768])
MINIMAL = b"GET /1k HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
_CHUNK = b"400\r\n" + BODY + b"\r\n"
CHUNKED_REPLY = (
    RESPONSE.replace(_LENGTH, b"Transfer-Encoding: chunked\r\n") % b"1" + _CHUNK,
    _CHUNK + _CHUNK[:500],
    _CHUNK[500:] + b"0\r\n\r\n",
)
