"""A server that answers the admin port's clients in any way but the right one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Conversation = Callable[[socket.socket, bytes], object]  # the connection, and the request's head


@contextlib.contextmanager
def answering(*conversations: Conversation) -> Iterator[tuple[str, list[bytes]]]:
    """The address, and the heads of requests as they come. The last conversation goes on for all further connections."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            number = 0
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                conversation = conversations[min(number, len(conversations) - 1)]
                number += 1
                threading.Thread(target=talk, args=(connection, conversation), daemon=True).start()

        def talk(connection: socket.socket, conversation: Conversation) -> None:
            with connection, contextlib.suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    head += piece
                heads.append(head)
                conversation(connection, head)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}", heads
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def saying(data: bytes) -> Conversation:
    """These bytes, and the end."""
    return lambda connection, head: connection.sendall(data)


def json_reply(text: str, status: str = "200 OK", fields: str = "") -> Conversation:
    """A whole reply with that JSON."""
    body = text.encode()
    return saying(f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body)
