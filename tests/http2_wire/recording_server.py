"""A backend over HTTP/1.1 that reads strictly and writes down what it reads: requests, and what is none."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field

from threaded_server import ThreadedServer

_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*")


@dataclass
class Seen:
    """A request; `is_whole` is false where its content broke off."""

    connection: int
    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    content: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_whole: bool = False

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


class Broken(Exception):
    """What was read is no request."""


class RecordingServer(ThreadedServer):
    """Answers each request with its method and target, and with those of its fields whose names begin with x-echo.

    `/early/…` is answered at its head; `/two/…` twice; `/slow/…` when `released` is set.
    """

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.garbage: list[bytes] = []
        self._lock = threading.Lock()
        ThreadedServer.__init__(self)  # last, as it serves from then on

    def serve(self, sock: socket.socket, number: int) -> None:
        reader = sock.makefile("rb")
        with contextlib.suppress(OSError, ValueError), sock, reader:
            while True:
                line = reader.readline(65_536)
                if not line:
                    return
                try:
                    seen = self._read(sock, reader, line, number)
                except Broken as broken:
                    self.garbage.append(broken.args[0])
                    return
                if not seen.is_whole:
                    return
                if not seen.target.startswith(b"/early/"):
                    self._answer(sock, seen)

    def _read(self, sock: socket.socket, reader: object, line: bytes, number: int) -> Seen:
        match = _LINE.fullmatch(line.removesuffix(b"\r\n"))
        if match is None or not line.endswith(b"\r\n"):
            raise Broken(line)
        seen = Seen(number, match[1], match[2], self._fields(reader))
        with self._lock:
            self.requests.append(seen)
        if seen.target.startswith(b"/early/"):
            self._answer(sock, seen)
        self._content(reader, seen)
        return seen

    def _fields(self, reader: object) -> list[tuple[bytes, bytes]]:
        found = []
        while (line := reader.readline(65_536)) != b"\r\n":  # type: ignore[attr-defined]
            match = _FIELD.fullmatch(line.removesuffix(b"\r\n"))
            if match is None or not line.endswith(b"\r\n"):
                raise Broken(line)
            found.append((match[1], match[2]))
        return found

    def _content(self, reader: object, seen: Seen) -> None:
        lengths, codings = seen.all(b"content-length"), seen.all(b"transfer-encoding")
        if len(lengths) + len(codings) > 1 or codings not in ([], [b"chunked"]) or not all(map(bytes.isdigit, lengths)):
            raise Broken(b"framing: %r" % (lengths + codings))
        read = reader.read  # type: ignore[attr-defined]
        if codings:
            while True:
                line = reader.readline(100)  # type: ignore[attr-defined]
                if not line:
                    return
                if not re.fullmatch(rb"[0-9a-f]+\r\n", line):
                    raise Broken(line)
                size = int(line, 16)
                if not size:
                    break
                seen.content += (piece := read(size))
                if len(piece) < size or read(2) != b"\r\n":
                    return
            seen.trailers = self._fields(reader)
        else:
            size = int(lengths[0]) if lengths else 0
            seen.content = read(size)
            if len(seen.content) < size:
                return
        seen.is_whole = True

    def _answer(self, sock: socket.socket, seen: Seen) -> None:
        if seen.target.startswith(b"/slow/"):
            self.released.wait(60)
        content = seen.method + b" " + seen.target
        lines = b"".join(b"%b: %b\r\n" % each for each in seen.fields if each[0].startswith(b"x-echo"))
        reply = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (lines, len(content))
        if seen.method != b"HEAD":
            reply += content
        if seen.target.startswith(b"/two/"):
            reply += b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
        sock.sendall(reply)
