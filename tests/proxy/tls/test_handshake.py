"""TLS towards clients: who gets which certificate, what is spoken, and how a handshake that fails is told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace

import pytest
from pem_files import self_signed
from rawclient import Message, Wire, get, ok
from stage import Stage, serve, until
from tls_client import client_context, exchange, subject, with_client

from balance.config.model import Config, HttpConfig
from balance.model import Mode, Why
from balance.proxy.tls.handshake import why_of
from balance.runtime import counters
from balance.tls.settings import Certificate, ServerTls
from balance.tls.x509 import pem_blocks

A = self_signed("a.example")
B = self_signed("*.b.example")
RSA = self_signed("a.example", kind="rsa")
GET_CLOSE = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


def tls(*certificates: Certificate, **settings: object) -> ServerTls:
    return replace(
        ServerTls(enabled=True, certificates=certificates or (A.certificate,), alpn_protocols=("http/1.1",)),
        **settings,  # type: ignore[arg-type]
    )


def with_tls(stage: Stage, settings: ServerTls) -> Config:
    """The configuration that is served, with another TLS."""
    config = stage.snapshot.config
    return replace(config, listeners=(replace(config.listeners[0], tls=settings),))


def der(pair: object) -> bytes:
    return pem_blocks(pair.cert.read_bytes())[0]  # type: ignore[attr-defined]


async def test_a_request_over_tls_is_answered_and_says_https(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open(tls=tls())
    reply = await with_client(stage, exchange(GET_CLOSE))
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert reply.endswith(b"ok")
    assert [request.get("x-forwarded-proto") for request in seen] == ["https"]
    assert stage.cell(counters.TLS_HANDSHAKES) == 1
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.parametrize(
    ("server_name", "expected"),
    [
        ("a.example", A),
        ("A.Example", A),
        ("x.b.example", B),
        ("y.x.b.example", A),  # a wildcard is one label: the default
        ("other.example", A),
        (None, A),
    ],
)
async def test_the_certificate_is_chosen_by_the_name(stage: Stage, server_name: str | None, expected: object) -> None:
    await stage.open(tls=tls(A.certificate, B.certificate))
    assert await with_client(stage, subject, server_name) == der(expected)


async def test_ec_and_rsa_stand_side_by_side(stage: Stage) -> None:
    await stage.open(tls=tls(A.certificate, RSA.certificate))
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    for ciphers, pair in (("ECDHE-ECDSA-AES128-GCM-SHA256", A), ("ECDHE-RSA-AES128-GCM-SHA256", RSA)):
        assert await with_client(stage, subject, context=client_context(ciphers=ciphers, **old)) == der(pair)


async def test_what_is_offered_is_what_is_configured(stage: Stage) -> None:
    suites = ("ECDHE-ECDSA-AES128-GCM-SHA256",)  # not the first of the default
    await stage.open(tls=tls(cipher_suites=suites, max_version="1.2"))
    spoken = await with_client(
        stage, lambda client: (client.version(), client.cipher(), client.selected_alpn_protocol()),
        context=client_context(("h2", "http/1.1")),
    )  # fmt: skip
    assert (spoken[0], (spoken[1] or ("",))[0], spoken[2]) == ("TLSv1.2", suites[0], "http/1.1")
    with pytest.raises(ssl.SSLError):
        await with_client(stage, subject, context=client_context(minimum_version=ssl.TLSVersion.TLSv1_3))


async def test_a_session_is_resumed_and_is_not_where_tickets_are_off(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(tls=tls())
    for are_given, settings in ((True, tls()), (False, tls(session_tickets=False))):
        await stage.reload(
            replace(stage.snapshot.config, listeners=(replace(stage.snapshot.config.listeners[0], tls=settings),))
        )
        context = client_context()

        def first(client: ssl.SSLSocket) -> ssl.SSLSession | None:
            exchange(GET_CLOSE)(client)
            return client.session

        session = await with_client(stage, first, context=context)
        assert (session is not None and session.has_ticket) == are_given
        if session is not None and are_given:
            assert await with_client(stage, lambda client: client.session_reused, context=context, session=session)


async def test_a_certificate_is_changed_while_sessions_go_on(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(tls=tls())
    context = client_context()

    def first(client: ssl.SSLSocket) -> ssl.SSLSession | None:
        exchange(GET_CLOSE)(client)
        return client.session

    session = await with_client(stage, first, context=context)
    newer = self_signed("a.example", number=2)
    await stage.reload(with_tls(stage, tls(newer.certificate)))
    assert await with_client(stage, subject) == der(newer)
    assert await with_client(stage, lambda client: client.session_reused, context=context, session=session)


async def test_bytes_pass_over_tls_in_tcp_mode(stage: Stage) -> None:
    async def echo(wire: Wire) -> None:
        while data := await wire.some():
            await wire.send(data)

    stage.backend(echo)
    await stage.open(mode=Mode.TCP, tls=tls(alpn_protocols=()))

    def ping(client: ssl.SSLSocket) -> bytes:
        client.sendall(b"x" * 300_000)
        received = b""
        while len(received) < 300_000:
            received += client.recv(65536)
        client.unwrap()
        return received

    assert await with_client(stage, ping) == b"x" * 300_000
    await until(lambda: stage.whys.get(Why.OK))


@pytest.mark.parametrize("mode", [Mode.HTTP, Mode.TCP])
async def test_a_client_that_resets_frees_its_place(stage: Stage, mode: Mode) -> None:
    stage.backend(serve(ok()))
    await stage.open(mode=mode, tls=tls())

    def leave(client: ssl.SSLSocket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    await with_client(stage, leave)
    await until(lambda: not stage.worker.descriptors.clients)


async def test_a_refused_upload_gets_its_answer(stage: Stage) -> None:
    await stage.open(tls=tls(), http=HttpConfig())
    request = b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)

    def action(client: ssl.SSLSocket) -> bytes:
        client.sendall(request)
        return client.recv(65536)

    assert (await with_client(stage, action)).startswith(b"HTTP/1.1 400 ")
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.parametrize(
    ("settings", "client", "alert", "why"),
    [
        ({"min_version": "1.3"}, {"maximum_version": ssl.TLSVersion.TLSv1_2}, "PROTOCOL_VERSION", Why.TLS_NO_SHARED_CIPHER),
        (
            {"max_version": "1.2"},
            {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-SHA"},
            "HANDSHAKE_FAILURE",
            Why.TLS_NO_SHARED_CIPHER,
        ),
    ],
)
async def test_who_is_refused_gets_the_alert_that_says_why(
    stage: Stage, settings: dict[str, object], client: dict[str, object], alert: str, why: Why
) -> None:
    await stage.open(tls=tls(**settings))  # type: ignore[arg-type]
    with pytest.raises(ssl.SSLError, match=alert):
        await with_client(stage, subject, context=client_context(**client))
    await until(lambda: stage.whys == {why: 1})
    await until(lambda: not stage.worker.descriptors.clients)
    assert not stage.worker.connections


async def test_a_client_that_does_not_go_on_is_cut_at_the_deadline(stage: Stage) -> None:
    """Half-way: its ClientHello came, its Finished never does."""

    await stage.open(tls=tls(handshake_timeout_s=0.3))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = client_context().wrap_bio(incoming, outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    wire = await stage.client()
    await wire.send(outgoing.read())
    await until(lambda: stage.whys == {Why.TLS_TIMEOUT: 1}, patience_s=5.0)  # half of the default
    await until(lambda: not stage.worker.descriptors.clients)
    assert not stage.worker.connections


async def test_a_client_that_leaves_during_its_handshake_is_no_failure_of_anybody(stage: Stage) -> None:
    await stage.open(tls=tls())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = client_context().wrap_bio(incoming, outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    wire = await stage.client()
    await wire.send(outgoing.read())
    await wire.some()
    wire.close()
    await until(lambda: stage.whys == {Why.TLS_ABORTED: 1})
    assert not stage.worker.descriptors.clients


async def test_every_byte_of_a_handshake_may_come_alone(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(tls=tls())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname="a.example")
    wire = await stage.client()
    wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def pump() -> None:
        for byte in outgoing.read():
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)

    while True:
        try:
            client.do_handshake()
            break
        except ssl.SSLWantReadError:
            await pump()
            incoming.write(await wire.some())
    client.write(get())
    await pump()
    incoming.write(await wire.some())
    received = b""
    while b"\r\n\r\nok" not in received:
        try:
            received += client.read()
        except ssl.SSLWantReadError:
            incoming.write(await wire.some())
    assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (None, Why.TLS_ABORTED),
        (ConnectionResetError(), Why.TLS_ABORTED),
        (ConnectionAbortedError("timeout"), Why.TLS_TIMEOUT),
        (ssl.SSLError(1, "x"), Why.TLS_PROTOCOL),
    ],
)
def test_how_a_handshake_failed(error: BaseException | None, why: Why) -> None:
    assert why_of(error) is why


async def test_a_reload_to_tls_ends_plain_connections_after_their_request(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).body == b"ok"
    await stage.reload(with_tls(stage, tls()))
    await client.send(get())
    reply = await client.reply()
    assert (reply.body, reply.get("connection")) == (b"ok", "close")
    assert (await with_client(stage, exchange(GET_CLOSE))).endswith(b"ok")


async def test_a_drain_waits_for_a_handshake_and_cuts_it_at_its_deadline(stage: Stage) -> None:
    await stage.open(tls=tls())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = client_context().wrap_bio(incoming, outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    wire = await stage.client()
    await wire.send(outgoing.read())
    await wire.some()
    assert await stage.listener_server.drain(0.2) == 1
    await until(lambda: not stage.worker.descriptors.clients)
