"""The harness's own connection of HTTP/2, for one request at a time: whether a proxy is ready, and thousands that are silent.

It reads no more of a reply's fields than whether the status is 200: `nghttp` reads one of them whole (see `reply`).
"""

import socket
import ssl
from collections.abc import Callable
from functools import partial

from wire.http2.messages import AUTHORITY, all_fields, body
from wire.scenarios import Scenario

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
HEAD_BYTES = 9
WINDOW = (1 << 30).to_bytes(4, "big")  # as h2load has
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SIZE_UPDATES = range(0x20, 0x40)
STATUS_200 = 0x88  # the static table has an entry for it (RFC 7541 appendix A)


class UnexpectedReplyError(ConnectionError):
    """A reply that is not the one that the row wants, or none."""


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


CONTEXT = _context()


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


# No push, and windows that do not matter.
OPENING = (
    PREFACE + frame(SETTINGS, 0, 0, b"\0\2\0\0\0\0" + b"\0\4" + WINDOW) + frame(0x8, 0, 0, WINDOW)  # WINDOW_UPDATE
)


def literal(name: bytes, value: bytes) -> bytes:
    """A field that enters the table of both sides, as a browser sends it."""
    return b"\x40" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    assert size < 127 + 128
    return bytes([127, size - 127]) + text


def request(row: Scenario, stream_id: int, client: int = 0) -> bytes:
    block = b"".join(literal(name.encode(), value.encode()) for name, value in all_fields(row, client))
    content = body(row)
    head = frame(HEADERS, END_HEADERS | (0 if content else END_STREAM), stream_id, block)
    return head + (frame(DATA, END_STREAM, stream_id, content) if content else b"")


def is_200(block: bytes) -> bool:
    """Whether a head begins so; what may stand before is a change of the table's size (RFC 7541 section 4.2)."""
    at = 0
    while at < len(block) and block[at] in SIZE_UPDATES:
        is_long = block[at] == SIZE_UPDATES[-1]
        at += 1
        while is_long and at < len(block) and block[at] & 0x80:
            at += 1
        at += is_long
    return block[at : at + 1] == bytes([STATUS_200])


def connected(port: int, timeout_s: float, *, tls: bool) -> socket.socket:
    """To a proxy on this machine that agrees to HTTP/2, or over which it is begun by prior knowledge."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not tls:
            return plain
        secured = CONTEXT.wrap_socket(plain, server_hostname=AUTHORITY)
    except BaseException:
        plain.close()
        raise
    if secured.selected_alpn_protocol() != "h2":
        secured.close()
        raise UnexpectedReplyError("the other side chose no HTTP/2")
    return secured


class Connection:
    """HTTP/2 on a connection that was just made."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._buffer = b""
        self._next_id = 1
        self._socket.sendall(OPENING)

    def ask(self, request_of: Callable[[int], bytes]) -> int:
        """One request, by the number of its stream; how many bytes of content its reply had.

        OSError (UnexpectedReplyError is one): none came, or not 200.
        """
        number = self._next_id
        self._next_id += 2
        self._socket.sendall(request_of(number))
        size, is_head = 0, True
        while True:
            kind, flags, stream_id, payload = self._frame()
            if kind == SETTINGS and not flags & ACK:
                self._socket.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self._socket.sendall(frame(PING, ACK, 0, payload))
            elif kind in (GOAWAY, RST_STREAM):
                raise UnexpectedReplyError(f"{'GOAWAY' if kind == GOAWAY else 'RST_STREAM'} {payload!r} instead of a reply")
            elif stream_id == number and kind in (DATA, HEADERS):
                if is_head and not is_200(payload):
                    raise UnexpectedReplyError(f"a reply that begins with {payload[:20]!r}, not with 200")
                is_head = False
                size += len(payload) if kind == DATA else 0
                if flags & END_STREAM:
                    return size

    def _frame(self) -> tuple[int, int, int, bytes]:
        head = self._read(HEAD_BYTES)
        payload = self._read(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._socket.recv(65536)
            if not more:
                raise UnexpectedReplyError(f"closed, with {self._buffer[:40]!r} at the end")
            self._buffer += more
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def ask_once(row: Scenario, port: int) -> str | None:
    """What was wrong with the reply on a new connection, or None. OSError: there was none, or not 200."""
    with connected(port, 1.0, tls=row.tls) as opened:
        size = Connection(opened).ask(partial(request, row))
    return None if size == row.body_bytes else f"{size} bytes, not {row.body_bytes}"
