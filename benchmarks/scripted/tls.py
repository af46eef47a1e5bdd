"""A client over TLS 1.3: our end on a socket, as the acceptor begins it, OpenSSL at the other, whose bytes come by hand."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from pathlib import Path
from time import monotonic

import uvloop

from balance.holder import Holder
from balance.proxy.clients import Clients
from balance.proxy.http.client import HttpClient
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.net.transport_poll import TransportPoll
from balance.proxy.tls.handshake import Chosen, Handshake
from balance.proxy.tls.tls_transport import TlsTransport
from balance.runtime.health_gate import Shared
from balance.tls.client_hello import MAX_STREAM, ClientHelloParser
from balance.tls.contexts import ListenerTls
from scripted.site import PLAIN, Site
from scripted.uncounted import UNCOUNTED

CERTIFICATES = Path(__file__).parents[2] / "deployments" / "examples" / "certificates"
TLS = (
    PLAIN
    + f"""\
tls:
  enabled: true
  certificates:
    - {{cert_file: {CERTIFICATES / "example.crt"}, key_file: {CERTIFICATES / "example.key"}}}
"""
)
NAME = "www.example.com"
ENOUGH = 1 << 20  # bytes that are taken at once


class TlsClients:
    """Connections of clients to an HTTP listener."""

    def __init__(self, site: Site, settings: ListenerSettings) -> None:
        self._worker = site.worker
        self._settings = settings
        self._tls = ListenerTls(site.config.listeners[0].tls)
        self._clients = Clients(site.worker, "", 0, Shared.with_nobody(site.worker.row.cells))
        self._poll = TransportPoll(uvloop.new_event_loop(), site.worker.wheel)
        self._poll._is_turning = True  # it never turns by itself here
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3

    def connected(self) -> TlsConnection:
        """After the handshake, whose other end is not counted."""
        with UNCOUNTED:
            connection = TlsConnection(self._context, self._poll)
            hello = connection.sent.read(MAX_STREAM)
            connection.far.send(hello)
        self._poll.wait_for(connection.fd, connection)
        parser = ClientHelloParser()
        parser.feed(hello)
        assert parser.hello is not None and self._tls is not None
        certificate = self._tls.find(parser.hello.server_name)
        assert certificate is not None
        chosen = Chosen(self._tls, self._tls.policy_for(parser.hello), certificate, parser.hello.server_name)
        self._clients.may_enter()
        handshake = Handshake(self._worker, self._clients, chosen, "127.0.0.1")
        self._poll.wait_no_more(connection.fd)
        http = HttpClient(Holder(self._settings), self._clients, ("127.0.0.1", 50000))
        connection.here = TlsTransport(self._poll, handshake, http, monotonic() + 10)
        self._poll.is_laden = False  # as in a turn of its own
        self._poll.accepted(socket.AF_INET, connection.fd, connection.here, select.EPOLLIN)
        while said := connection.answer():
            connection.here.data_received(said)
        return connection


class TlsConnection:
    """Both ends of one."""

    here: TlsTransport

    def __init__(self, context: ssl.SSLContext, poll: TransportPoll) -> None:
        self._poll = poll
        near, self.far = socket.socketpair()
        for end in (near, self.far):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ENOUGH)
        self.fd = near.detach()
        self.size = 0  # bytes that our end has written
        self.sent = ssl.MemoryBIO()
        self._received = ssl.MemoryBIO()
        self._there = context.wrap_bio(self._received, self.sent, server_hostname=NAME)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._there.do_handshake()

    def turn_ends(self) -> None:
        """The end of the poll's turn, at which what was written is sent."""
        self._poll._tell_late()

    def take(self) -> bytes:
        """All that our end has written. Not counted."""
        with UNCOUNTED:
            try:
                data = self.far.recv(ENOUGH)
            except BlockingIOError:
                data = b""
        self.size += len(data)
        return data

    def ready(self, events: int) -> None:
        """See Awaiting. Not called: the poll does not turn."""

    def answer(self) -> bytes:
        """What the client says to all that our end has written. Not counted."""
        self._received.write(self.take())
        with UNCOUNTED:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._there.do_handshake()
            return self.sent.read()

    def encrypted(self, data: bytes) -> bytes:
        """As the client sends it; records come in this order alone."""
        self._there.write(data)
        return self.sent.read()

    def close(self) -> None:
        """At our end, without a word."""
        self.here.abort()
        self._poll._end_turn()
        self._poll._is_turning = True
        with UNCOUNTED:
            self.far.close()
