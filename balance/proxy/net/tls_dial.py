"""Connects to backends with TLS: a PROXY header first, then the handshake; and tells apart why it failed.

uvloop's TLS does the work. It drops the alert that would tell the backend why it was refused, so that is written here, where
uvloop asks its context for an SSLObject: it is given a _Handshake, which passes for an SSLContext.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from balance.model import Address, Why
from balance.tls.backend_context import UpstreamTls
from balance.tls.backend_failure import failure_of
from balance.tls.client_hello import MAX_RECORD

P = TypeVar("P")

HANDSHAKE_S: Final = 60.0  # without timeouts.connect; nginx's proxy_connect_timeout
SHUTDOWN_S: Final = 5.0  # for the backend's close_notify after ours; uvloop's own 30 lets it go on sending


class _UpstreamObject(ssl.SSLObject):
    """Tells its _Handshake when the handshake fails. A close_notify that comes after ours is an end, too: Python raises there,
    and uvloop would drop what it has read before.
    """

    handshake: _Handshake
    _engine_read: Callable[..., Any]

    def begin(self) -> None:
        """What SSLObject only passes on to C is called there."""
        engine = self._sslobj  # type: ignore[attr-defined]
        self._engine_read = engine.read
        self.write = engine.write  # type: ignore[method-assign]
        self.pending = engine.pending  # type: ignore[method-assign]

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        try:
            if buffer is None:  # uvloop wants 256 KB, room for which may be a system call or three
                return self._engine_read(len if len < MAX_RECORD else MAX_RECORD)
            return self._engine_read(len, buffer)
        except ssl.SSLZeroReturnError:
            return b"" if buffer is None else 0  # with a buffer, the number of bytes

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self.handshake.failed()
            raise


class _Handshake:
    """One connection's, in place of an SSLContext."""

    __slots__ = ("_outgoing", "_sock", "_tls")

    def __init__(self, tls: UpstreamTls, sock: socket.socket) -> None:
        self._tls = tls
        self._sock = sock
        self._outgoing: ssl.MemoryBIO | None = None

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: Any) -> ssl.SSLObject:
        self._tls.context.sslobject_class = _UpstreamObject
        made = cast(_UpstreamObject, self._tls.wrap(incoming, outgoing))
        made.handshake = self
        made.begin()
        self._outgoing = outgoing
        return made

    def failed(self) -> None:
        """Send the alert."""
        if self._outgoing is not None and self._sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                os.write(self._sock.fileno(), self._outgoing.read())


class TlsDial:
    """A dial of one backend. `header` goes before the handshake."""

    __slots__ = ("_header", "_timeout_s", "_tls", "is_connected")

    def __init__(self, tls: UpstreamTls, header: bytes, timeout_s: float) -> None:
        self._tls = tls
        self._header = header
        self._timeout_s = timeout_s
        self.is_connected = False  # the handshake has begun: what fails from here on is TLS

    async def open(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], P], host: str, address: Address) -> P:
        """A protocol made by `factory`, after the handshake. OSError or ValueError when it fails."""
        self.is_connected = False
        family = socket.AF_UNIX if address.is_unix else socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if not address.is_unix:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address.path if address.is_unix else (host, address.port))
            self.is_connected = True
            if self._header:
                await loop.sock_sendall(sock, self._header)
            _, protocol = await loop.create_connection(
                cast(Any, factory),
                sock=sock,
                ssl=cast(Any, _Handshake(self._tls, sock)),
                server_hostname="",  # _Handshake knows it
                ssl_handshake_timeout=(self._timeout_s or HANDSHAKE_S) + 1.0,  # the dial's own limit comes first
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except BaseException:
            if self.is_connected:
                self._tls.forget()
            sock.close()
            raise
        return cast(P, protocol)

    def failure(self, error: Exception) -> tuple[Why, str]:
        """Why the handshake failed."""
        if isinstance(error, TimeoutError | ConnectionAbortedError):
            return Why.BACKEND_TLS_TIMEOUT, f"no TLS handshake within {self._timeout_s or HANDSHAKE_S:g} s"
        why, detail = failure_of(error)
        if why is Why.BACKEND_TLS_NAME and self._tls.server_name:
            detail = f"{detail} ({self._tls.server_name})" if self._tls.server_name not in detail else detail
        return why, detail
