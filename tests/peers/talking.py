"""One request as a plain client sends it, and what came of it: the same questions to a server and to Balance before it."""

from __future__ import annotations

import hashlib
import http.client
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

START_TIMEOUT_S = 20.0
# What belongs to one connection (RFC 9110 section 7.6.1), is of the moment, or is a proxy's own to say.
_NOT_COMPARED = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "date", "x-remote-port", "via", "x-request-id", "x-backend")
)


@dataclass(frozen=True)
class Ask:
    """A request. A `body` that is a tuple is sent in chunks."""

    path: str
    method: str = "GET"
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes | tuple[bytes, ...] | None = None


@dataclass(frozen=True)
class Told:
    """A reply, as far as it must be the same."""

    status: int
    fields: tuple[tuple[str, str], ...]
    size: int
    sha: str
    is_chunked: bool


def ask(connection: http.client.HTTPConnection, asked: Ask) -> tuple[Told, str]:
    """What was told, and from which port the server saw it come."""
    body: bytes | Iterable[bytes] | None = asked.body
    connection.request(asked.method, asked.path, body, dict(asked.fields), encode_chunked=isinstance(body, tuple))
    reply = connection.getresponse()
    data = reply.read()
    fields = sorted((name.lower(), value) for name, value in reply.getheaders() if name.lower() not in _NOT_COMPARED)
    # To HEAD, Transfer-Encoding is what the server says of its own connection (RFC 9112 section 6.1).
    is_chunked = asked.method != "HEAD" and reply.getheader("transfer-encoding") == "chunked"
    told = Told(reply.status, tuple(fields), len(data), hashlib.sha256(data).hexdigest(), is_chunked)
    return told, reply.getheader("x-remote-port", "")


def connect(address: str) -> http.client.HTTPConnection:
    """`address` is host:port. What is asked says `Host: site.example`."""
    host, _, port = address.rpartition(":")
    return http.client.HTTPConnection(host, int(port), timeout=START_TIMEOUT_S)


class Talk:
    """A connection whose bytes are ours: for what a library would hide."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), START_TIMEOUT_S)
        self._got = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """What came up to `mark` and with it. EOFError when the peer ends before."""
        while mark not in self._got:
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError(self._got)
            self._got += data
        found, _, self._got = self._got.partition(mark)
        return found + mark

    @property
    def rest(self) -> bytes:
        """What came behind the last mark."""
        return self._got

    def close(self) -> None:
        self.socket.close()
