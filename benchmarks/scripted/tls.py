"""A client over TLS 1.3 without a socket: uvloop's TLS and ours at one end, OpenSSL at the other, bytes carried by hand."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

import uvloop
from uvloop.loop import SSLProtocol

from balance.holder import Holder
from balance.proxy.clients import Clients
from balance.proxy.http.client import HttpClient
from balance.proxy.listener_settings import ListenerSettings
from balance.proxy.tls.handshake import Chosen, Handshake
from balance.runtime.health_gate import Shared
from balance.tls.client_hello import MAX_STREAM, ClientHelloParser
from balance.tls.contexts import ListenerTls
from scripted.site import PLAIN, Site
from scripted.transport import Nowhere
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
ENOUGH = 65536  # bytes that come at once


class TlsClients:
    """Connections of clients to an HTTP listener."""

    def __init__(self, site: Site, settings: ListenerSettings) -> None:
        self._worker = site.worker
        self._settings = settings
        self.loop = uvloop.new_event_loop()
        self._tls = ListenerTls(site.config.listeners[0].tls)
        self._clients = Clients(site.worker, "", 0, Shared.with_nobody(site.worker.row.cells))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3

    def connected(self) -> TlsConnection:
        """After the handshake, whose other end is not counted."""
        with UNCOUNTED:
            connection = TlsConnection(self._context)
        hello = connection.sent.read(MAX_STREAM)
        parser = ClientHelloParser()
        parser.feed(hello)
        assert parser.hello is not None and self._tls is not None
        certificate = self._tls.find(parser.hello.server_name)
        assert certificate is not None
        chosen = Chosen(self._tls, self._tls.policy_for(parser.hello), certificate, parser.hello.server_name)
        self._clients.may_enter()
        handshake = Handshake(self._worker, self._clients, chosen, -1, "127.0.0.1")
        connection.http = HttpClient(Holder(self._settings), self._clients)
        connection.here = SSLProtocol(self.loop, connection.http, handshake, None, server_side=True)
        connection.here.connection_made(connection.transport)
        while hello:
            connection.give(hello)
            with UNCOUNTED:
                hello = connection.answer()
        handshake.ended(None)
        return connection


class TlsConnection:
    """Both ends of one."""

    http: HttpClient
    here: Any  # uvloop's SSLProtocol

    def __init__(self, context: ssl.SSLContext) -> None:
        self.transport = Nowhere()
        self.sent = ssl.MemoryBIO()
        self._received = ssl.MemoryBIO()
        self._there = context.wrap_bio(self._received, self.sent, server_hostname=NAME)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._there.do_handshake()

    def give(self, data: bytes) -> None:
        """Have our end receive it, as from the kernel."""
        self.here.get_buffer(ENOUGH)[: len(data)] = data
        self.here.buffer_updated(len(data))

    def answer(self) -> bytes:
        """What the client says to all that our end has written."""
        said, self.transport.last = self.transport.last, b""
        self._received.write(said)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._there.do_handshake()
        return self.sent.read()

    def encrypted(self, data: bytes) -> bytes:
        """As the client sends it; records come in this order alone."""
        self._there.write(data)
        return self.sent.read()
