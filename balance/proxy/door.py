"""One listening socket of a worker, and the listener that stands behind it now: a reload puts another one there."""

from __future__ import annotations

import asyncio
import socket
import weakref

from balance.model import Mode
from balance.proxy.client import HttpClient
from balance.proxy.entry import Entry
from balance.proxy.service import Service
from balance.proxy.sockets import keep_alive
from balance.proxy.tcp import Downstream
from balance.runtime.snapshot import Listener

BACKLOG = 4096


class Door:
    """See the module. Connections that came through it know its Entry, and go over to the next with their next request."""

    __slots__ = ("_entries", "_entry", "_is_closed", "_listener", "_port", "_server", "_service", "sock")

    def __init__(self, service: Service, sock: socket.socket, listener: Listener) -> None:
        name = sock.getsockname()
        self.sock = sock
        self._service = service
        self._port = name[1] if isinstance(name, tuple) else 0
        self._server: asyncio.Server | None = None
        self._is_closed = False
        self._listener = listener
        self._entry: Entry | None = None
        self._entries: weakref.WeakSet[Entry] = weakref.WeakSet()  # those that connections may still have, the newest included
        self.lead_to(listener)

    async def open(self) -> None:
        """Accept from now on."""
        keep_alive(self.sock)
        self._server = await self._service.loop.create_server(self._accepted, sock=self.sock, backlog=BACKLOG)
        if self._is_closed:
            self._server.close()

    def lead_to(self, listener: Listener) -> None:
        """This listener is behind it from now on; nothing changes when it is the same as before."""
        before = self._entry
        is_same = listener == self._listener and (before is not None or listener.mode is Mode.TCP)
        self._listener = listener
        if is_same:
            return
        self._entry = None
        if listener.mode is Mode.HTTP:
            self._entry = Entry(self._service, listener, self._port)
            self._entry.is_closing = self._service.is_draining
            self._service.entries.add(self._entry)
        for entry in list(self._entries):
            # Each knows the newest and none in between: whoever came long ago must not keep all that was served since.
            entry.successor = self._entry
            entry.is_closing |= self._entry is None  # no HTTP is spoken any more: those who do end with their request
        if self._entry is not None:
            self._entries.add(self._entry)

    def close(self) -> None:
        """Accept no more. Who is in already is served to the end of its request, or of its session."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        for entry in self._entries:
            entry.is_closing = True

    def _accepted(self) -> asyncio.Protocol:
        entry = self._entry
        return HttpClient(entry) if entry is not None else Downstream(self._service, self._listener)
