"""A good client that speaks HTTP/2: asks again and again, one request at a time, on kept and on new connections."""

from __future__ import annotations

import socket
import time

from attacked import GoodClient
from wire.http2.connection import END_HEADERS, END_STREAM, HEADERS, Connection, frame, literal

FIELDS = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"good.example"))
BLOCK = b"".join(literal(name, value) for name, value in FIELDS)


def request(stream_id: int) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream_id, BLOCK)


class GoodHttp2Client(GoodClient):
    """As GoodClient, over HTTP/2."""

    def _ask(self, sock: socket.socket) -> None:
        connection = Connection(sock)
        for _ in range(self._per_connection):
            began = time.monotonic()
            connection.ask(request)
            self.seconds.append(time.monotonic() - began)
            self.answered += 1
            if self._is_over.wait(self._pause_s):
                return
