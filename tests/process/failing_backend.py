"""A backend that fails on command, and clients that all come at once."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable

PATIENCE_S = 20.0


class FailingBackend:
    """Resets every connection while `is_failing`; else holds each request until `released`, then answers with `status` and its
    name.
    """

    def __init__(self, name: str = "moody") -> None:
        self.is_failing = True
        self.status = b"200 OK"
        self.released = threading.Event()
        self.accepted_at: list[float] = []  # wall clock
        self.at_once = 0
        self.most_at_once = 0
        self._body = name.encode()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def is_left_alone(self, span_s: float = 0.2) -> bool:
        """Whether nobody comes for that long: whoever was on the way has been."""
        before = len(self.accepted_at)
        time.sleep(span_s)
        return len(self.accepted_at) == before

    def stop(self) -> None:
        self.released.set()
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.accepted_at.append(time.time())
                if self.is_failing:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
                    connection.close()
                else:
                    threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                if self.is_failing:
                    return
                assert data.endswith(b"\r\n\r\n")
                with self._lock:
                    self.at_once += 1
                    self.most_at_once = max(self.most_at_once, self.at_once)
                self.released.wait(PATIENCE_S)
                with self._lock:
                    self.at_once -= 1
                head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (self.status, len(self._body))
                connection.sendall(head + self._body)


class Clients:
    """So many clients, each with a new connection per request, so that every worker gets some."""

    def __init__(self, port: int, clients: int) -> None:
        self.statuses: list[int] = []
        self._port = port
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _ask_on(self) -> None:
        while not self._is_over.wait(0.005):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/")
                self.statuses.append(connection.getresponse().status)
            connection.close()


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_S) -> None:
    """Until it holds; AssertionError when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
