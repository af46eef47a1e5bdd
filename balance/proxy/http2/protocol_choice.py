"""Which protocol a new connection of a client speaks: by ALPN where there is TLS, else by its first bytes (RFC 9113 section 3).

Only listeners where HTTP/2 may be spoken have one; it is the transport's protocol until it is known whose turn it is. There is
one deadline from accept on, however the preface trickles.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Final, cast

from balance.holder import Holder
from balance.http2.frames import PREFACE
from balance.model import Why
from balance.proxy.clients import Clients
from balance.proxy.http.client import HttpClient
from balance.proxy.http2.client_connection import FIRST_REQUEST_S, ClientConnection
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.sockets import is_silent, other_address
from balance.proxy.net.timer_wheel import NEVER, Timed
from balance.runtime import counters

_H2: Final = "h2"


class ProtocolChoice(Timed):
    """One connection, until its protocol is known."""

    __slots__ = ("_accepted_at", "_address", "_first", "_holder", "clients", "settings", "transport")

    transport: asyncio.Transport  # set by connection_made()

    def __init__(self, holder: Holder[ListenerSettings], clients: Clients | None, address: Any) -> None:
        """As of HttpClient."""
        Timed.__init__(self)
        self.settings = holder.held
        self.clients = clients
        self._holder = holder
        self._address = address
        self._accepted_at = 0.0
        self._first = b""  # bytes that may begin a preface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # it is a full Transport
        by_alpn = transport.get_extra_info("alpn_protocol")
        if by_alpn is not None:
            self._choose(is_http2=by_alpn == _H2)
            return
        settings = self.settings
        settings.worker.connections.add(self)
        now = self._accepted_at = monotonic()
        self.deadline = now + (settings.timeouts.client_header_s or NEVER)
        if self.deadline < self.looked_at:
            settings.worker.wheel.watch(self, now)

    def data_received(self, data: bytes) -> None:
        self._first += data
        first = self._first
        if first[: len(PREFACE)] != PREFACE[: len(first)]:
            self._choose(is_http2=False)
        elif len(first) >= len(PREFACE):
            self._choose(is_http2=True)

    def _choose(self, *, is_http2: bool) -> None:
        by = self.deadline
        self._leave()
        chosen: ClientConnection | HttpClient
        if is_http2:
            chosen = ClientConnection(self._holder, self.clients, self._address, by)
        else:
            chosen = HttpClient(self._holder, self.clients, self._address)
        transport = self.transport
        transport.set_protocol(cast(Any, chosen))
        chosen.connection_made(transport)
        first, self._first = self._first, b""
        if first:
            chosen.data_received(first)

    def _leave(self) -> None:
        worker = self.settings.worker
        worker.wheel.forget(self)
        self.deadline = NEVER
        worker.connections.discard(self)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self.clients is not None:
            self.clients.leave()

    def spliced(self, size: int) -> None:
        """See Receiver. Not called."""

    def pause_writing(self) -> None:
        """Nothing is written."""

    def resume_writing(self) -> None:
        """Nothing is written."""

    def expire(self, now: float) -> None:
        """Nothing came, or a preface that is not whole."""
        if self._first:
            self.settings.worker.row.cells[counters.WHY + Why.HEADER_TIMEOUT] += 1
        self.transport.abort()

    def give_up(self) -> None:
        self.transport.abort()

    # --- as a connection of the worker ------------------------------------------------------------------

    @property
    def client_address(self) -> str:
        name = self.transport.get_extra_info("peername") if self._address is None else self._address
        return str(name[0]) if type(name) is tuple and len(name) == 2 else other_address(name)

    def drain(self, *, is_patient: bool) -> None:
        """Close if nothing has come."""
        if not is_patient and not self._first and is_silent(self.transport):
            self.transport.close()

    def idle_since(self, now: float) -> float:
        """Since when nothing has come, after FIRST_REQUEST_S of it."""
        return self._accepted_at if not self._first and now - self._accepted_at >= FIRST_REQUEST_S else NEVER

    def reclaim(self) -> bool:
        """Close it to make room for another client, if it is still idle. Whether it was closed."""
        self.drain(is_patient=False)
        return self.transport.is_closing()

    def announce_close(self) -> None:
        """Nothing: no protocol is known in which to say it."""

    def cut(self) -> None:
        """The deadline of a drain has passed."""
        self.transport.abort()
