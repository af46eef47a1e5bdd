"""What scripted backends share: a listening socket, and a thread for each connection, which all end with the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class ThreadedServer(ABC):
    """Serves at `address` from the start; `connections` were accepted so far."""

    def __init__(self) -> None:
        self.connections = 0
        self.released = threading.Event()  # for what waits for the test; set at the end
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.released.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(sock)
                number, self.connections = self.connections, self.connections + 1
                threading.Thread(target=self.serve, args=(sock, number), daemon=True).start()

    @abstractmethod
    def serve(self, sock: socket.socket, number: int) -> None:
        """Serve this connection, the `number`th from 0, to its end."""
