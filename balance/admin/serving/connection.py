"""One connection to the admin port: uvicorn's, with the limits that it lacks.

A head has to come in time and within a size; the rest of a body that nobody reads is taken for a moment, not for ever; whoever
does not read his reply is cut off; and when there are too many connections, the one makes room that has been idle for longest.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import OrderedDict
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from balance.admin.access.client import PEER, Peer
from balance.admin.events.stream import ABORT
from balance.admin.serving.tls_handshake import subject_of

HEAD_TIMEOUT_S = 10.0  # for a whole head; else silent clients could use up all connections
MAX_HEAD_BYTES = 32 * 1024
LINGER_S = 2.0  # for the rest of a body after the reply: a close with unread bytes would be a reset, which may destroy it
WRITE_TIMEOUT_S = 30.0  # without progress
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class AdminConnection(HttpToolsProtocol):
    """See the module. `idle` has the connections of one server that wait for a head, the longest idle first."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        max_connections: int,
        idle: OrderedDict[AdminConnection, None],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._max_connections = max_connections
        self._idle = idle
        self._peer = Peer()
        self._is_in_head = True
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None  # for the head, or for the rest of a body
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        while len(self.connections) >= self._max_connections and self._idle:
            oldest, _ = self._idle.popitem(last=False)
            self.connections.discard(oldest)
            oldest.transport.abort()
        super().connection_made(transport)
        self._peer = Peer(subject_of(transport.get_extra_info("ssl_object")), _uid(transport.get_extra_info("socket")))
        self._idle[self] = None
        self._start_timer(HEAD_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
            self._start_timer(HEAD_TIMEOUT_S)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {PEER: self._peer, ABORT: self.transport.abort}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        self._cancel_timer()
        self._idle.pop(self, None)
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._cancel_timer()
            self._start_timer(HEAD_TIMEOUT_S)
            self._idle[self] = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # uvicorn reads on after each reply: a pipeline would grow without end
            self.flow.pause_reading()
        if not self._is_in_head:
            self._start_timer(LINGER_S)
        elif not self.pipeline:
            self._idle[self] = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._cancel_write_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self._cancel_write_timer()
        self._idle.pop(self, None)
        super().connection_lost(exc)

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self.transport.close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _uid(sock: Any) -> int | None:
    """The user of the process at the other end of a Unix socket, where the system tells."""
    if sock is None or sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
