"""Receivers of syslog messages that are not ours: what a daemon would do with them."""

import re
import socket
import threading
from pathlib import Path

# RFC 5424 section 6: the header, no structured data, the text.
MESSAGE = re.compile(
    r"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]{1,255}) balance (\d+) (\S{1,32}) - (.*)", re.DOTALL
)


def text_of(message: bytes) -> str:
    """The text of a message, which has to be one."""
    match = MESSAGE.fullmatch(message.decode("utf-8"))
    assert match, message
    return match[6]


def octet_counted(data: bytes) -> list[bytes]:
    """The messages of a stream, RFC 6587 section 3.4.1. All have to be whole."""
    messages = []
    while data:
        count, _, rest = data.partition(b" ")
        assert count.isdigit() and len(rest) >= int(count), data[:80]
        messages.append(rest[: int(count)])
        data = rest[int(count) :]
    return messages


def bound(kind: str, where: Path | tuple[str, int]) -> socket.socket:
    """A receiver's socket."""
    stream = kind in ("tcp", "unix stream")
    family = socket.AF_INET if isinstance(where, tuple) else socket.AF_UNIX
    sock = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(where if isinstance(where, tuple) else str(where))
    if stream:
        sock.listen()
    sock.settimeout(10)
    return sock


class StreamReceiver:
    """Accepts one connection and reads it to its end."""

    def __init__(self, listening: socket.socket) -> None:
        self.data = b""
        self._listening = listening
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        connection, _ = self._listening.accept()
        connection.settimeout(10)
        with connection:
            while data := connection.recv(1 << 16):
                self.data += data

    def join(self) -> bytes:
        self._thread.join(10)
        return self.data
