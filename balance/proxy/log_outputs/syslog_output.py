"""Lines of the access log as syslog messages.

Over streams and Unix sockets lines wait for a receiver that is away, in the log's bounded queue; over UDP nobody knows whether
there is one, but where the kernel says so.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from threading import Event
from typing import Final

from balance.log_lines.line_time import IsoTime
from balance.log_lines.syslog import INFO, LOCAL7, SyslogTarget, Transport, counted, header
from balance.proxy.log_outputs.output import OutputTrouble

PATIENCE_S: Final = 3.0  # for a connection, and for a receiver to take something; then it is tried again
MAX_UNACKED_MS: Final = 30_000  # after which a peer that says nothing is gone
FIRST_BACKOFF_S: Final = 0.25
MAX_BACKOFF_S: Final = 15.0
PIECE: Final = 64 << 10  # bytes that are sent at once over a stream


class SyslogOutput:
    """One connection, made when the first line comes and again when it is lost."""

    def __init__(self, target: SyslogTarget, output: str) -> None:
        """`output` names it in messages."""
        self._target = target
        self._socket: socket.socket | None = None
        self._is_stream = False
        self._time = IsoTime()
        self._host = socket.gethostname()
        self._backoff_s = FIRST_BACKOFF_S
        self._is_left = Event()
        self._has_given_up = False
        self._trouble = OutputTrouble(f"the access log ({output})")

    @property
    def longest(self) -> int:
        return self._target.longest

    def hurry(self) -> None:
        self._is_left.set()

    def write(self, lines: str) -> int:
        head = header(LOCAL7, INFO, self._time.text(time.time()), self._host, os.getpid(), "access")
        texts = lines.encode("ascii", "backslashreplace").splitlines()
        sent = lost = 0
        while sent < len(texts):
            if self._has_given_up:
                return lost + len(texts) - sent
            try:
                connection = self._socket or self._connect()
                if self._is_stream:
                    sent += self._send_stream(connection, head, texts[sent:])
                else:
                    connection.send(head + texts[sent])
                    sent += 1
                self._works()
            except OSError as error:
                reason = error.strerror or str(error) or type(error).__name__
                if error.errno == errno.EMSGSIZE or (self._target.transport is Transport.UDP and self._socket is not None):
                    sent += 1  # over UDP the error is often that of the message before: one of the two is lost
                    lost += 1
                    self._trouble.failed(reason, 1)
                else:
                    self._trouble.failed(reason, 0)
                    self._wait(error)
        return lost

    def close(self) -> None:
        self._disconnect()

    def _works(self) -> None:
        self._backoff_s = FIRST_BACKOFF_S
        self._trouble.works()

    def _wait(self, error: OSError) -> None:
        """Until it is tried again. A receiver that is only slow keeps its connection, with what it has not read."""
        is_slow = isinstance(error, TimeoutError) and self._socket is not None
        if not is_slow:
            self._disconnect()
        pause_s, self._backoff_s = self._backoff_s, min(2 * self._backoff_s, MAX_BACKOFF_S)
        if self._is_left.wait(0.0 if is_slow else pause_s):
            self._has_given_up = True

    def _connect(self) -> socket.socket:
        transport, address = self._target
        if transport is Transport.TCP:
            connection = socket.create_connection((address.host, address.port), PATIENCE_S)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, MAX_UNACKED_MS)
        elif transport is Transport.UDP:
            family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
            connection = _connected(socket.socket(family, kind, protocol), where)
        else:
            try:
                connection = _connected(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), address.path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise
                connection = _connected(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
        self._is_stream = connection.type == socket.SOCK_STREAM
        self._socket = connection
        return connection

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send_stream(self, connection: socket.socket, head: bytes, texts: list[bytes]) -> int:
        """Send some messages; returns how many. After an error all of them are sent again, over another connection."""
        _look(connection)
        frames, size = [], 0
        for text in texts:
            frame = counted(head + text) if self._target.transport is Transport.TCP else head + text + b"\n"
            frames.append(frame)
            size += len(frame)
            if size >= PIECE:
                break
        data = memoryview(b"".join(frames))
        while data:
            try:
                count = connection.send(data)  # not between the brackets: what mypyc makes of that sends twice
                data = data[count:]
            except TimeoutError as error:
                self._trouble.failed("its receiver takes nothing", 0)
                if self._is_left.is_set():
                    self._has_given_up = True
                    raise ConnectionAbortedError(errno.ECONNABORTED, "its receiver takes nothing") from error
        return len(frames)


def _connected(connection: socket.socket, where: object) -> socket.socket:
    try:
        connection.settimeout(PATIENCE_S)
        connection.connect(where)  # type: ignore[arg-type]
    except BaseException:
        connection.close()
        raise
    return connection


def _look(connection: socket.socket) -> None:
    """Notice a close that has come meanwhile: the first message after it would be lost without an error."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while poll.poll(0):
        if not connection.recv(4096):  # else what a receiver says, which has nothing to say
            raise ConnectionResetError(errno.ECONNRESET, "its receiver has closed the connection")
