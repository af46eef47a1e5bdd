"""HTTP/2 to backends with TLS: what is chosen by ALPN, and what goes over HTTP/1.1 beside it."""

from __future__ import annotations

import ssl
from dataclasses import replace

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from pem_files import authority, read
from rawclient import Message, get, post
from stage import Stage
from tls_server import answering, server_context, tls_server

from balance.http2 import frames
from balance.http2.errors import HTTP_1_1_REQUIRED
from balance.model import Why
from balance.runtime import counters
from balance.tls.settings import BackendTls

CA = authority()
APP = CA.issue("app.internal", "app.internal", "IP:127.0.0.1")
TLS = BackendTls(enabled=True, ca_file=read(CA.cert), server_name="app.internal")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Chosen:
    """What each connection of a backend has chosen, and its requests over HTTP/2."""

    def __init__(self) -> None:
        self.protocols: list[str | None] = []
        self.streams: list[int] = []

    def __call__(self, connection: ssl.SSLSocket) -> None:
        self.protocols.append(connection.selected_alpn_protocol())
        if self.protocols[-1] != "h2":
            answering()(connection)
            return
        peer = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        peer.initiate_connection()
        connection.sendall(peer.data_to_send())
        while data := connection.recv(65536):
            for event in peer.receive_data(data):
                if isinstance(event, StreamEnded):
                    self.streams.append(event.stream_id)
                    peer.send_headers(event.stream_id, [(":status", "200"), ("content-length", "2")])
                    peer.send_data(event.stream_id, b"h2", end_stream=True)
            connection.sendall(peer.data_to_send())


def context(*protocols: str) -> ssl.SSLContext:
    made = server_context(APP)
    made.set_alpn_protocols(list(protocols))
    return made


async def ask(stage: Stage, request: bytes = b"") -> Message:
    client = await stage.client()
    await client.send(request or get())
    reply = await client.reply()
    client.close()
    return reply


async def test_h2_is_asked_for_and_spoken(stage: Stage) -> None:
    chosen = Chosen()
    with tls_server(context("h2"), chosen) as server:
        await stage.open(server.address, tls_to=TLS, protocol="h2")
        assert [(await ask(stage)).body for _ in range(3)] == [b"h2"] * 3
        assert (chosen.protocols, chosen.streams) == (["h2"], [1, 3, 5])


async def test_a_backend_that_does_not_choose_h2_is_not_spoken_to(stage: Stage) -> None:
    chosen = Chosen()
    with tls_server(context("http/1.1"), chosen) as server:
        await stage.open(server.address, tls_to=TLS, protocol="h2")
        assert (await ask(stage)).status == 502
        assert stage.whys == {Why.BACKEND_TLS_PROTOCOL: 1}
        assert stage.cell(stage.backend_states[0].block + counters.CONNECT_FAILURES) == 1


async def test_auto_takes_what_the_backend_chooses(stage: Stage) -> None:
    chosen = Chosen()
    with tls_server(context("h2", "http/1.1"), chosen) as server:
        await stage.open(server.address, tls_to=TLS, protocol="auto")
        assert [(await ask(stage)).body for _ in range(2)] == [b"h2", b"h2"]
        assert chosen.protocols == ["h2"]


async def test_auto_parks_connections_of_http1_where_that_is_chosen(stage: Stage) -> None:
    chosen = Chosen()
    with tls_server(context("http/1.1"), chosen) as server:
        await stage.open(server.address, tls_to=TLS, protocol="auto")
        assert [(await ask(stage)).body for _ in range(3)] == [b"ok"] * 3
        assert chosen.protocols == ["http/1.1"]
        assert len(stage.backend_states[0].idle) == 1


async def test_an_upgrade_to_an_auto_backend_has_a_connection_of_http1(stage: Stage) -> None:
    chosen = Chosen()

    def handler(connection: ssl.SSLSocket) -> None:
        if connection.selected_alpn_protocol() == "h2":
            chosen(connection)
            return
        chosen.protocols.append("http/1.1")
        assert b"Upgrade: websocket" in connection.recv(65536)
        connection.sendall(SWITCHING + b"frames")
        connection.recv(65536)

    with tls_server(context("h2", "http/1.1"), handler) as server:
        await stage.open(server.address, tls_to=TLS, protocol="auto")
        assert (await ask(stage)).body == b"h2"
        client = await stage.client()
        await client.send(get("/ws", "Connection: Upgrade", "Upgrade: websocket"))
        assert b"frames" in await client.until(b"frames")
        client.close()
        await stage.settled()
        assert (await ask(stage)).body == b"h2"
        assert chosen.protocols == ["h2", "http/1.1"]
        assert chosen.streams == [1, 3]


async def test_credentials_of_a_connection_go_over_http1(stage: Stage) -> None:
    chosen = Chosen()
    with tls_server(context("h2", "http/1.1"), chosen) as server:
        await stage.open(server.address, tls_to=TLS, protocol="auto")
        assert (await ask(stage, get("/", "Authorization: NTLM TlRMTVNTUAAB"))).body == b"ok"
        assert chosen.protocols == ["http/1.1"]


async def test_what_a_backend_wants_over_http1_is_sent_so(stage: Stage) -> None:
    """As IIS does, for sites with Windows authentication."""
    protocols = []

    def handler(connection: ssl.SSLSocket) -> None:
        protocols.append(connection.selected_alpn_protocol())
        if protocols[-1] != "h2":
            answering()(connection)
            return
        while b"body" not in connection.recv(65536):
            pass
        connection.sendall(frames.settings(()) + frames.rst_stream(1, HTTP_1_1_REQUIRED))
        connection.recv(65536)

    with tls_server(context("h2", "http/1.1"), handler) as server:
        await stage.open(server.address, tls_to=TLS, protocol="auto")
        assert (await ask(stage, post(b"body"))).status == 200
        assert protocols == ["h2", "http/1.1"]
        assert stage.whys == {Why.OK: 1}


async def test_a_reload_that_changes_the_protocol_uses_no_connection_again(stage: Stage) -> None:
    chosen = Chosen()
    with tls_server(context("h2", "http/1.1"), chosen) as server:
        await stage.open(server.address, tls_to=TLS, protocol="h2")
        assert (await ask(stage)).body == b"h2"
        config = stage.snapshot.config
        pool = config.pools[0]
        for protocol, body in (("http1", b"ok"), ("auto", b"h2")):
            backends = (replace(pool.backends[0], protocol=protocol),)
            await stage.reload(replace(config, pools=(replace(pool, backends=backends),)))
            assert (await ask(stage)).body == body
        assert chosen.protocols == ["h2", "http/1.1", "h2"]
