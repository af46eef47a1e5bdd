"""Requests to backends with TLS: who they are, what a handshake that fails leads to, what an end means."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

import pytest
from pem_files import Pair, authority, read, self_signed
from rawclient import get, post
from stage import Stage, serve, until
from tls_client import client_context, exchange, with_client
from tls_server import OK, Handler, server_context, tls_server

from balance.config.model import Retry, Timeouts
from balance.model import Why
from balance.runtime import counters
from balance.tls.settings import BackendTls, ServerTls
from balance.tls.x509 import pem_blocks

CA = authority()
OTHER_CA = authority("Other CA")
APP = CA.issue("app.internal", "app.internal", "IP:127.0.0.1")
WEB = CA.issue("web.internal")
CLIENT = CA.issue("balance")
BIG = bytes(range(256)) * 12_000  # 3 MB


def to_backend(**settings: object) -> BackendTls:
    return BackendTls(**{"enabled": True, "ca_file": read(CA.cert), "server_name": "app.internal", **settings})  # type: ignore[arg-type]


def with_certificate(pair: Pair) -> BackendTls:
    return to_backend(client_cert_file=read(pair.cert), client_key_file=read(pair.key))


def ending(reply: bytes, end: Callable[[ssl.SSLSocket], object]) -> Handler:
    """Answers one request, and ends its connection so."""

    def handler(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        connection.sendall(reply)
        end(connection)

    return handler


def with_close_notify(connection: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        connection.unwrap().close()


def with_fin(connection: ssl.SSLSocket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


async def ask(stage: Stage, request: bytes = b"") -> int:
    client = await stage.client()
    await client.send(request or get())
    status = (await client.reply()).status
    client.close()
    return status


async def test_a_backend_is_verified_and_its_connection_is_used_again(stage: Stage) -> None:
    with tls_server(server_context(APP)) as server:
        await stage.open(server.address, tls_to=to_backend())
        for _ in range(3):
            assert await ask(stage) == 200
        assert (server.names, server.clients, server.failures) == (["app.internal"], [None], [])
        assert stage.whys == {Why.OK: 3}


async def test_a_plain_pool_stays_plain(stage: Stage) -> None:
    stage.backend(serve(OK))
    await stage.open(tls_to=replace(to_backend(), enabled=False))
    assert await ask(stage) == 200


async def test_an_ip_address_is_verified_as_one_and_never_sent_as_a_name(stage: Stage) -> None:
    with tls_server(server_context(APP)) as server:
        await stage.open(server.address, tls_to=to_backend(server_name=""))
        assert await ask(stage) == 200
        assert server.names == [None]


@pytest.mark.parametrize(
    ("pair", "settings", "why"),
    [
        (WEB, to_backend(), Why.BACKEND_TLS_NAME),
        (WEB, to_backend(server_name=""), Why.BACKEND_TLS_NAME),  # no IP address in it
        (WEB, to_backend(server_name="127.0.0.1"), Why.BACKEND_TLS_NAME),
        (self_signed("app.internal"), to_backend(), Why.BACKEND_TLS_CERTIFICATE),
        (APP, to_backend(ca_file=read(OTHER_CA.cert)), Why.BACKEND_TLS_CERTIFICATE),
        (CA.issue("app.internal", days=0), to_backend(), Why.BACKEND_TLS_CERTIFICATE),
        (CA.issue("app.internal", "DNS:*.internal"), to_backend(server_name="a.app.internal"), Why.BACKEND_TLS_NAME),
    ],
)  # fmt: skip
async def test_who_is_not_the_backend_gets_no_byte_of_a_request(
    stage: Stage, pair: Pair, settings: BackendTls, why: Why
) -> None:
    seen: list[bytes] = []
    with tls_server(server_context(pair), lambda connection: seen.append(connection.recv(1))) as server:
        await stage.open(server.address, tls_to=settings)
        assert await ask(stage, post(b"secret")) == 502
        assert stage.whys == {why: 1}
        (backend,) = stage.backend_states
        assert stage.cell(backend.block + counters.CONNECT_FAILURES) == 1
        assert seen == []
        await until(lambda: bool(server.failures) or bool(server.ends))
        # With TLS 1.3 our alert tells the backend's operator why.
        assert [failure.reason for failure in server.failures if "ALERT" in str(failure.reason)] or server.ends


async def test_the_log_says_the_pool_and_the_word(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with tls_server(server_context(WEB)) as server:
        await stage.open(server.address, tls_to=to_backend())
        assert await ask(stage) == 502
        assert f"backend pool/n1 at {server.address}: backend_tls_name: " in caplog.text


async def test_unverified_anybody_will_do(stage: Stage) -> None:
    with tls_server(server_context(self_signed("other.example"))) as server:
        await stage.open(server.address, tls_to=to_backend(verify=False))
        assert await ask(stage) == 200
        assert server.names == ["app.internal"]


async def test_a_trust_store_of_the_system_does_not_have_our_authority(stage: Stage) -> None:
    with tls_server(server_context(APP)) as server:
        await stage.open(server.address, tls_to=BackendTls(enabled=True, server_name="app.internal"))
        assert await ask(stage) == 502
        assert stage.whys == {Why.BACKEND_TLS_CERTIFICATE: 1}


async def test_a_backend_without_tls_and_one_that_hangs_up_say_so(stage: Stage) -> None:
    async def plain(wire: object) -> None:
        await wire.some()  # type: ignore[attr-defined]
        await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # type: ignore[attr-defined]

    async def hangs_up(wire: object) -> None:
        await wire.some()  # type: ignore[attr-defined]

    stage.backend(plain)
    stage.backend(hangs_up)
    await stage.open(tls_to=to_backend(), retry=Retry(enabled=False))
    assert await ask(stage) == 502
    assert stage.whys == {Why.BACKEND_TLS_PROTOCOL: 1}
    assert [stage.count(backend, counters.CONNECT_FAILURES) for backend in stage.backends] == [1, 1]


async def test_a_handshake_that_does_not_end_is_given_up_with_the_connect_timeout(stage: Stage) -> None:
    async def silent(wire: object) -> None:
        await wire.rest()  # type: ignore[attr-defined]

    stage.backend(silent)
    await stage.open(tls_to=to_backend(), timeouts=Timeouts(connect_s=0.1))
    assert await ask(stage) == 504
    assert stage.whys == {Why.BACKEND_TLS_TIMEOUT: 1}
    await until(lambda: not stage.worker.descriptors.upstreams)


async def test_the_next_backend_is_tried_whatever_the_method(stage: Stage) -> None:
    with tls_server(server_context(WEB)), tls_server(server_context(WEB)) as wrong, tls_server(server_context(APP)) as right:
        await stage.open(wrong.address, right.address, tls_to=to_backend())
        assert [await ask(stage, post(b"body")) for _ in range(2)] == [200, 200]
        assert stage.whys == {Why.OK: 2}
        assert wrong.failures


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_our_certificate_is_shown_to_a_backend_that_asks(stage: Stage, version: ssl.TLSVersion) -> None:
    with tls_server(server_context(APP, CA, maximum_version=version)) as server:
        await stage.open(server.address, tls_to=with_certificate(CLIENT))
        assert await ask(stage) == 200
        assert server.clients == [pem_blocks(CLIENT.cert.read_bytes())[0]]


@pytest.mark.parametrize(
    ("version", "settings", "why"),
    [
        (ssl.TLSVersion.TLSv1_3, to_backend(), Why.BACKEND_TLS_REFUSED),
        (ssl.TLSVersion.TLSv1_3, with_certificate(self_signed("stranger")), Why.BACKEND_TLS_REFUSED),
        (ssl.TLSVersion.TLSv1_2, to_backend(), Why.BACKEND_TLS_PROTOCOL),
        (ssl.TLSVersion.TLSv1_2, with_certificate(self_signed("stranger")), Why.BACKEND_TLS_REFUSED),
    ],
)
async def test_a_backend_that_refuses_our_certificate_was_sent_nothing(
    stage: Stage, version: ssl.TLSVersion, settings: BackendTls, why: Why
) -> None:
    """With TLS 1.3 it says so after our handshake has ended and the request has gone out."""
    with tls_server(server_context(APP, CA, maximum_version=version)) as server, tls_server(server_context(APP)) as other:
        await stage.open(server.address, tls_to=settings)
        assert await ask(stage) == 502
        assert stage.whys == {why: 1}
        (backend,) = stage.backend_states
        assert stage.cell(backend.block + counters.CONNECT_FAILURES) == 1
        pool = stage.snapshot.config.pools[0]
        both = (*pool.backends, replace(pool.backends[0], name="other", address=other.address))
        await stage.reload(replace(stage.snapshot.config, pools=(replace(pool, backends=both),)))
        assert [await ask(stage, request) for request in (get(), get(), post(b""))] == [200] * 3


async def test_a_body_without_length_that_ends_without_close_notify_is_truncated(stage: Stage) -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    for end, how in ((with_close_notify, "eof"), (with_fin, "reset")):
        with tls_server(server_context(APP), ending(head + b"part", end)) as server:
            if stage.address.port:
                pool = stage.snapshot.config.pools[0]
                backends = (replace(pool.backends[0], name=how, address=server.address),)
                await stage.reload(replace(stage.snapshot.config, pools=(replace(pool, backends=backends),)))
            else:
                await stage.open(server.address, tls_to=to_backend())
            client = await stage.client()
            await client.send(get("/", "Connection: close"))
            try:
                received = await client.rest()
                assert received.endswith(b"part" if how == "eof" else b"4\r\npart\r\n") or b"0\r\n\r\n" in received
                is_whole = b"0\r\n\r\n" in received or how == "eof"
            except ConnectionResetError:
                is_whole = False
            assert is_whole == (how == "eof")
    assert stage.whys == {Why.OK: 1, Why.RESET_MID_RESPONSE: 1}


@pytest.mark.parametrize("end", [pytest.param(with_close_notify, marks=pytest.mark.long), with_fin])
async def test_a_slow_client_gets_all_of_a_reply_whose_backend_has_gone(
    stage: Stage, end: Callable[[ssl.SSLSocket], object]
) -> None:
    reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(BIG), BIG)
    with tls_server(server_context(APP), ending(reply, end)) as server:
        await stage.open(server.address, tls_to=to_backend(), send_buffer=4096)
        client = await stage.client(receive_buffer=4096)
        await client.send(get())
        await until(lambda: any(connection.is_write_paused for connection in stage.worker.connections))  # type: ignore[attr-defined]
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert stage.buffered < 2_000_000
        assert (await client.reply()).body == BIG
        assert stage.whys == {Why.OK: 1}


@pytest.mark.long
async def test_large_bodies_pass_both_ways_over_tls_on_both_sides(stage: Stage) -> None:
    def echo(connection: ssl.SSLSocket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        body = data.partition(b"\r\n\r\n")[2]
        while len(body) < len(BIG):
            body += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        with_close_notify(connection)

    front = self_signed("a.example")
    listener = ServerTls(enabled=True, certificates=(front.certificate,), alpn_protocols=("http/1.1",))
    with tls_server(server_context(APP), echo) as server:
        await stage.open(server.address, tls=listener, tls_to=to_backend())
        request = b"POST / HTTP/1.0\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n%b" % (len(BIG), BIG)
        received = await with_client(stage, exchange(request), context=client_context())
        assert received.endswith(BIG)


async def test_new_settings_end_what_was_kept_with_the_old_ones(stage: Stage) -> None:
    with tls_server(server_context(APP, CA)) as server:
        await stage.open(server.address, tls_to=with_certificate(CLIENT))
        assert await ask(stage) == 200
        newer = CA.issue("balance", serial=2)
        pool = stage.snapshot.config.pools[0]
        await stage.reload(replace(stage.snapshot.config, pools=(replace(pool, tls=with_certificate(newer)),)))
        await until(lambda: server.ends == ["close_notify"])
        assert await ask(stage) == 200
        assert server.clients == [pem_blocks(pair.cert.read_bytes())[0] for pair in (CLIENT, newer)]


async def test_a_connection_in_use_at_a_change_serves_no_other_request(stage: Stage) -> None:
    with tls_server(server_context(APP)) as server:
        stage_tls = to_backend()
        plain = stage.backend(serve(OK))
        del plain
        await stage.open(server.address, tls_to=stage_tls)
        (first, _) = stage.backend_states
        handle = first.tls
        assert handle is not None
        config = stage.snapshot.config
        await stage.reload(replace(config, pools=(replace(config.pools[0], queue=replace(config.pools[0].queue, size=7)),)))
        assert stage.backend_states[0].tls is handle  # nothing of its TLS has changed
        await stage.reload(replace(config, pools=(replace(config.pools[0], tls=to_backend(server_name="web.internal")),)))
        assert stage.backend_states[0].tls is not handle


async def test_a_session_is_resumed_with_the_same_identity_alone(stage: Stage) -> None:
    with tls_server(server_context(APP), ending(OK, with_close_notify)) as server:
        await stage.open(server.address, tls_to=to_backend())
        (backend,) = stage.backend_states

        async def again() -> None:
            assert await ask(stage) == 200
            await until(lambda: not backend.open_count)

        for _ in range(3):
            await again()
        assert server.resumed == [False, True, True]
        pool = stage.snapshot.config.pools[0]
        await stage.reload(replace(stage.snapshot.config, pools=(replace(pool, tls=with_certificate(CLIENT)),)))
        (backend,) = stage.backend_states
        await again()
        assert server.resumed[-1] is False


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_proxy_header_goes_before_the_handshake(stage: Stage, version: str) -> None:
    size = {"v1": len("PROXY TCP4 127.0.0.1 127.0.0.1 12345 12345\r\n"), "v2": 28}[version]
    with tls_server(server_context(APP), header_bytes=size) as server:
        await stage.open(server.address, tls_to=to_backend(), sends=version)
        client = await stage.client()
        for _ in range(2):
            await client.send(get())
            assert (await client.reply()).status == 200
        (header,) = server.headers
        assert header.startswith(b"PROXY TCP4 127.0.0.1" if version == "v1" else b"\r\n\r\n\0\r\nQUIT\n\x21\x11")


async def test_a_tunnel_goes_through_tls(stage: Stage) -> None:
    def switches(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n$ ")
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.unwrap()

    with tls_server(server_context(APP), switches) as server:
        await stage.open(server.address, tls_to=to_backend())
        client = await stage.client()
        await client.send(get("/", "Connection: Upgrade", "Upgrade: tcp"))
        head = await client.head()
        assert head is not None
        assert head.status == 101
        await client.send(b"x" * 100_000)
        assert await client.exactly(100_002) == b"$ " + b"x" * 100_000
        client.half_close()
        assert await client.ending() == "eof"


async def test_addresses_choose_where_a_pool_has_both(stage: Stage) -> None:
    stage.backend(serve(OK))
    with tls_server(server_context(APP)) as server:
        await stage.open(server.address, tls_to=replace(to_backend(), enabled=False))
        pool = stage.snapshot.config.pools[0]
        backends = (replace(pool.backends[0], scheme="https"), replace(pool.backends[1], scheme="http"))
        await stage.reload(replace(stage.snapshot.config, pools=(replace(pool, backends=backends),)))
        assert [await ask(stage) for _ in range(2)] == [200, 200]
        assert server.names == ["app.internal"]
