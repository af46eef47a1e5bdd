"""Who is at the other end of a client's connection, and what backends are told of it; the same for each protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from balance.http1.forwarding.forwarded_headers import VIA, VIA_HTTP2
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.polled_transport import AnyTransport
from balance.proxy.net.sockets import other_address
from balance.proxy.net.timer_wheel import NEVER, Timed
from balance.proxy.tls.verified_client import VerifiedClient
from balance.proxy_protocol.header_writer import header

if TYPE_CHECKING:
    from balance.proxy.http.connection_auth import ConnectionAuth


class ConnectedClient(Timed):
    """A connection of HTTP/1, one of HTTP/2, or a stream of that."""

    __slots__ = ("_address", "after_host", "before_host", "connection_auth", "is_judged", "is_trace_trusted", "is_trusted",
                 "peer", "verified")  # fmt: skip

    def __init__(self, address: Any = None) -> None:
        """`address`: the peer; None: the transport's."""
        self.deadline = self.looked_at = NEVER  # Timed.__init__() in line
        self._address = address
        self.peer = ""  # its address
        self.before_host = self.after_host = b""  # lines added to every request, around the value of Host
        self.is_trusted = False  # the peer is a trusted proxy
        self.is_judged = False  # that, its certificate counts, tracing is on or it may call gRPC: there is more to do
        self.is_trace_trusted = False  # the traces of this peer are gone on with
        self.verified: VerifiedClient | None = None  # where certificates of clients count
        self.connection_auth: ConnectionAuth | None = None  # once a request or reply uses it

    def introduce(
        self, settings: ListenerSettings, is_http2: bool, transport: asyncio.BaseTransport | AnyTransport | None = None
    ) -> None:
        """Make the lines added to every request that name the client to a backend. `transport`: its connection, if new."""
        if transport is not None:
            name = transport.get_extra_info("peername") if self._address is None else self._address
            if type(name) is tuple and len(name) == 2:
                self.peer, self._address = name  # the port alone: a tuple weighs more than all else of it
            else:
                self.peer = other_address(name)
            if settings.listener.verifies_clients:
                self.verified = VerifiedClient(transport.get_extra_info("ssl_object"))
        peer = self.peer
        self.before_host, self.after_host = settings.client_lines(peer)
        if is_http2 and settings.via:
            self.before_host = self.before_host.replace(VIA, VIA_HTTP2, 1)
        self.is_trusted = self.is_judged = settings.trusted is not None and settings.trusted.has(peer)
        if self.verified is not None:
            self.before_host = self.verified.lines + self.before_host
            self.is_judged = True
        if settings.grpc_web:
            self.is_judged = True
        if settings.tracer is not None:
            self.is_trace_trusted = settings.tracer.trusted.has(peer)
            self.is_judged = True

    def be_as(self, other: ConnectedClient) -> None:
        """It is at the other end of the same connection."""
        self.peer = other.peer
        self.before_host, self.after_host = other.before_host, other.after_host
        self.is_trusted = other.is_trusted
        self.is_judged = other.is_judged
        self.is_trace_trusted = other.is_trace_trusted
        self.verified = other.verified
        self.connection_auth = other.connection_auth

    def proxy_header_on(self, transport: asyncio.BaseTransport | AnyTransport, version: str) -> bytes:
        """The PROXY header that names its connection, which `transport` is."""
        peer = self._address
        if type(peer) is int:
            peer = (self.peer, peer)
        elif peer is None:
            peer = transport.get_extra_info("peername")
        return header(version, peer, transport.get_extra_info("sockname"))
