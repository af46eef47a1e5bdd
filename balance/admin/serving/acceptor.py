"""Accepts the connections of one listening socket, with TLS where it is spoken.

Bounded from accept() on: so many connections may be in a handshake, the oldest of which makes room for the next, and each has
so many seconds for all of it. Who speaks plain HTTP where TLS is spoken is told so in a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable

from balance.admin.serving.tls_handshake import TlsHandshake, TlsSource
from balance.background_tasks import spawn

log = logging.getLogger("balance.admin")

BACKLOG = 128
MAX_BURST = 16  # connections accepted in one turn of the loop
MAX_OPENING = 64  # in a handshake
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 2.0  # for the peer's close_notify
PAUSE_S = 1.0  # after a lack of descriptors or memory
_HANDSHAKE = 0x16  # the first byte of a TLS connection, RFC 8446 section 5.1
_BODY = b"This port speaks TLS: use https.\n"
PLAIN_HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_GONE = frozenset([errno.ECONNABORTED, errno.ECONNRESET, errno.EPERM, errno.EPROTO])


class Acceptor:
    """Stands in for asyncio's Server in uvicorn."""

    def __init__(self, sock: socket.socket, make_connection: Callable[[], asyncio.Protocol], tls: TlsSource | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._make_connection = make_connection
        self._tls = tls
        self._opening: OrderedDict[asyncio.Task[None], None] = OrderedDict()
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False
        sock.setblocking(False)
        sock.listen(BACKLOG)
        self._loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Accept no more, and end the handshakes under way."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        for task in list(self._opening):
            task.cancel()

    async def wait_closed(self) -> None:
        """Nothing: its connections are the server's."""

    def _readable(self) -> None:
        for _ in range(MAX_BURST):
            try:
                accepted, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                log.warning("the admin port accepts nobody for %gs: %s", PAUSE_S, error.strerror or error)
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(PAUSE_S, self._loop.add_reader, self._sock, self._readable)
                return
            accepted.setblocking(False)
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        try:
            context = self._tls.context() if self._tls is not None else None
        except ConnectionError:  # told of by the log; never plain text instead
            accepted.close()
            return
        if context is None:  # not in `_opening`: it is over in this turn of the loop
            spawn(self._open(accepted), "opening an admin connection")
            return
        while len(self._opening) >= MAX_OPENING:
            oldest, _ = self._opening.popitem(last=False)
            oldest.cancel()
        task = spawn(self._secure(accepted, context), "opening an admin connection")
        self._opening[task] = None
        task.add_done_callback(lambda done: self._opening.pop(done, None))

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_connection, accepted)
        except OSError:  # it is gone already
            accepted.close()

    async def _secure(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        try:
            began = self._loop.time()
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                first = await self._peek(accepted)
            if first != _HANDSHAKE:
                if ord("A") <= first <= ord("Z"):
                    accepted.recv(65536)  # a close with unread bytes would be a reset, which may destroy the answer
                    accepted.send(PLAIN_HTTP)
                accepted.close()
                return
            left_s = max(began + HANDSHAKE_TIMEOUT_S - self._loop.time(), 0.1)
            await self._loop.connect_accepted_socket(
                self._make_connection,
                accepted,
                ssl=TlsHandshake(context, accepted.fileno()),  # type: ignore[arg-type]
                ssl_handshake_timeout=left_s,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except (OSError, TimeoutError) as error:  # SSLError is an OSError
            log.debug("no connection to the admin port: %s", error)
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise

    async def _peek(self, accepted: socket.socket) -> int:
        """The first byte, which stays in the socket; 0 at the end of the stream."""
        readable = self._loop.create_future()
        self._loop.add_reader(accepted, _set, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(accepted)
        with contextlib.suppress(BlockingIOError):
            return (accepted.recv(1, socket.MSG_PEEK) or b"\0")[0]
        return 0


def _set(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)
