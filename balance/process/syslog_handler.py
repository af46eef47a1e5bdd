"""The program's log as syslog messages, without a thread: the supervisor forks.

A message is sent at once or waits for the next one; nothing waits for a receiver for longer than CONNECT_WAIT_S.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import time
from typing import Final

from balance.log_lines.line_time import IsoTime
from balance.log_lines.syslog import DAEMON, DEBUG, ERROR, INFO, WARNING, SyslogTarget, Transport, counted, header

CONNECT_WAIT_S: Final = 0.05  # for a connection over TCP, at most once in a backoff
BACKOFF_S: Final = (0.5, 30.0)  # the first and the longest
MAX_UNSENT: Final = 64 << 10  # bytes that wait for a stream
_SEVERITIES: Final = ((logging.ERROR, ERROR), (logging.WARNING, WARNING), (logging.INFO, INFO))


class SyslogHandler(logging.Handler):
    """Sends records; never raises. What nobody takes is dropped and counted, and the count is sent once there is room."""

    fd: Final = -1  # it has no file

    def __init__(self, target: SyslogTarget, process: str) -> None:
        super().__init__()
        self.target = target
        self.process = process
        self._socket: socket.socket | None = None
        self._is_stream = self._is_connecting = False
        self._unsent = b""
        self._dropped = 0
        self._retry_at = 0.0
        self._backoff_s = BACKOFF_S[0]
        self._host = socket.gethostname()
        self._time = IsoTime()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._dropped and self._is_ready():
                dropped = self._dropped
                self._send(self._message(WARNING, record.created, f"{dropped} lines were lost: nobody took them"))
                self._dropped -= dropped
            severity = next((code for level, code in _SEVERITIES if record.levelno >= level), DEBUG)
            if self._is_ready():
                self._send(self._message(severity, record.created, self.format(record)))
            else:
                self._dropped += 1
        except Exception:  # whatever is wrong with the log, it must not fail a request
            self._dropped += 1

    def close(self) -> None:
        self._disconnect()
        super().close()

    def _message(self, severity: int, created: float, text: str) -> bytes:
        line = text.replace("\r", "\\r").replace("\n", "\\n").encode("utf-8", "backslashreplace")[: self.target.longest]
        return header(DAEMON, severity, self._time.text(created), self._host, os.getpid(), "-") + line

    def _is_ready(self) -> bool:
        """Whether there is a connection; one is begun where none was for a while."""
        if self._socket is not None:
            return True
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at, self._backoff_s = now + self._backoff_s, min(2 * self._backoff_s, BACKOFF_S[1])
        self._connect()
        return True

    def _connect(self) -> None:
        transport, address = self.target
        if transport is Transport.UNIX:
            try:
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._begin(connection, address.path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise
                self._begin(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address.path)
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            kind = socket.SOCK_DGRAM if transport is Transport.UDP else socket.SOCK_STREAM
            self._begin(socket.socket(family, kind), (address.host, address.port))

    def _begin(self, connection: socket.socket, where: object) -> None:
        try:
            connection.setblocking(False)
            status = connection.connect_ex(where)  # type: ignore[arg-type]
            if status not in (0, errno.EINPROGRESS):
                raise OSError(status, os.strerror(status))
        except BaseException:
            connection.close()
            raise
        self._socket = connection
        self._is_stream = connection.type == socket.SOCK_STREAM
        self._is_connecting = status == errno.EINPROGRESS
        if self._is_connecting:
            poll = select.poll()
            poll.register(connection, select.POLLOUT)
            poll.poll(CONNECT_WAIT_S * 1000)

    def _send(self, message: bytes) -> None:
        """OSError, and the connection is closed, when it was not taken."""
        connection = self._socket
        assert connection is not None
        try:
            if not self._is_stream:
                self._send_datagram(connection, message)
                self._backoff_s = BACKOFF_S[0]
                return
            frame = counted(message) if self.target.transport is Transport.TCP else message + b"\n"
            if len(self._unsent) + len(frame) > MAX_UNSENT:
                raise BlockingIOError(errno.EAGAIN, "its receiver takes nothing")
            self._notice_close(connection)
            self._unsent += frame
            self._flush(connection)
        except BlockingIOError:
            raise
        except OSError:
            self._disconnect()
            raise

    def _send_datagram(self, connection: socket.socket, message: bytes) -> None:
        try:
            connection.send(message)
        except ConnectionRefusedError:
            if self.target.transport is not Transport.UDP:
                raise
            connection.send(message)  # the error was that of the message before

    def _flush(self, connection: socket.socket) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[connection.send(self._unsent) :]
            self._is_connecting = False
            self._backoff_s = BACKOFF_S[0]
        except BlockingIOError:
            pass  # with the next message

    def _notice_close(self, connection: socket.socket) -> None:
        """The first message after a close would be lost without an error."""
        if self._is_connecting:
            return
        try:
            if connection.recv(4096) == b"":
                raise ConnectionResetError(errno.ECONNRESET, "its receiver has closed the connection")
        except BlockingIOError:
            pass

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._unsent = b""
