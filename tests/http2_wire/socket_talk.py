"""A client of HTTP/2 over a socket: bytes as they are; what comes is remembered frame by frame."""

from __future__ import annotations

import contextlib
import socket
import ssl
from types import TracebackType

from h2_talk import Talk

PATIENCE_S = 20.0  # a bound for the worst machine


class SocketTalk(Talk):
    """One connection; closed at the end of `with`."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, source: str = "127.0.0.1") -> None:
        super().__init__()
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S, source_address=(source, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock: socket.socket = sock if tls is None else tls.wrap_socket(sock, server_hostname="site.example")

    def __enter__(self) -> SocketTalk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """What can't be sent because the server has closed is left out: reading shows it."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def receive(self) -> bool:
        if self.is_over:
            return False
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            return False
        self.is_over = not data
        self.take(data)
        return True
