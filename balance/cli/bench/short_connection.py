"""A plain connection for one request, without the event loop's transport: making one of those costs more than all the rest.

It is what a transport is to a Connection (`write`, `close`, `abort`). The request goes out at once where the connection is
there at once, as on loopback; otherwise when it is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Final, cast

from balance.cli.bench.connection import Connection, error_kind

READ_BYTES: Final = 1 << 18
CONNECTING: Final = (0, errno.EINPROGRESS, errno.EAGAIN)


class ShortTransport:
    """One socket, from its connect to its close."""

    __slots__ = ("_connection", "_fd", "_is_connected", "_loop", "_rest", "_socket")

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection, address: tuple[str, int]) -> None:
        """OSError when there can be no socket."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._loop = loop
        self._connection = connection
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._fd = self._socket.fileno()
        self._is_connected = False
        self._rest = b""
        code = self._socket.connect_ex(address)
        if code not in CONNECTING:
            self._socket.close()
            raise OSError(code, os.strerror(code))
        connection.connection_made(cast(asyncio.Transport, self))
        loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
            self._is_connected = True
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._loop.call_soon(self._lost, error)
            return
        if sent < len(data):
            self._rest = data[sent:]
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._fd)
        if code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lost(OSError(code, os.strerror(code)))
            return
        data, self._rest = self._rest, b""
        self.write(data)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if data:
            self._is_connected = True
            self._connection.data_received(data)
        else:
            self._connection.eof_received()
            self._lost(None)

    def _lost(self, error: OSError | None) -> None:
        if self._socket.fileno() < 0:
            return
        if error is not None and not self._is_connected:
            self._connection.why = error_kind(error)
        self.close()
        self._connection.connection_lost(error)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._socket.close()

    def abort(self) -> None:
        self._loop.call_soon(self._lost, None)
