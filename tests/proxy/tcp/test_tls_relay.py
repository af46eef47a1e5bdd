"""TCP mode with TLS to backends, and on both sides: bytes, ends, and what is told of a handshake that fails."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import replace

import pytest
from pem_files import authority, read, self_signed
from stage import Stage, until
from tls_client import client_context, with_client
from tls_server import server_context, tls_server

from balance.model import Mode, Why
from balance.runtime import counters
from balance.tls.settings import BackendTls, ServerTls

CA = authority()
APP = CA.issue("app.internal")
FRONT = self_signed("a.example")
LISTENER = ServerTls(enabled=True, certificates=(FRONT.certificate,))
BIG = bytes(range(256)) * 8_000  # 2 MB


def to_backend(**settings: object) -> BackendTls:
    return BackendTls(**{"enabled": True, "ca_file": read(CA.cert), "server_name": "app.internal", **settings})  # type: ignore[arg-type]


def read_all(connection: ssl.SSLSocket) -> bytes:
    data = b""
    while more := connection.recv(65536):
        data += more
    return data


def answers_at_the_end(connection: ssl.SSLSocket) -> None:
    """Reads until the close_notify, and then sends it all back."""
    data = read_all(connection)
    connection.sendall(data)
    connection.unwrap()


async def test_a_half_close_is_a_close_notify_and_the_answer_still_comes(stage: Stage) -> None:
    with tls_server(server_context(APP), answers_at_the_end) as server:
        await stage.open(server.address, mode=Mode.TCP, tls_to=to_backend())
        client = await stage.client()
        await client.send(BIG)
        client.half_close()
        assert await client.rest() == BIG
        await until(lambda: stage.whys == {Why.OK: 1})
        assert server.ends == ["close_notify"]


@pytest.mark.long
async def test_a_client_that_does_not_read_holds_the_backend_up_and_loses_nothing(stage: Stage) -> None:
    def sends(connection: ssl.SSLSocket) -> None:
        connection.sendall(BIG)
        connection.shutdown(socket.SHUT_RDWR)

    def sends_and_says_so(connection: ssl.SSLSocket) -> None:
        connection.sendall(BIG)
        with contextlib.suppress(OSError):
            connection.unwrap()

    for number, (handler, why) in enumerate(((sends_and_says_so, Why.OK), (sends, Why.RESET_MID_RESPONSE))):
        with tls_server(server_context(APP), handler) as server:
            if number:
                pool = stage.snapshot.config.pools[0]
                backends = (replace(pool.backends[0], address=server.address),)
                await stage.reload(replace(stage.snapshot.config, pools=(replace(pool, backends=backends),)))
            else:
                await stage.open(server.address, mode=Mode.TCP, tls_to=to_backend(), send_buffer=4096)
            client = await stage.client(receive_buffer=4096)
            await until(lambda: any(end.is_full for end in stage.worker.connections))  # type: ignore[attr-defined]
            assert await client.exactly(len(BIG)) == BIG
            assert await client.ending() == ("reset" if number else "eof")  # a FIN alone is no end
            await until(lambda why=why: bool(stage.whys.get(why)))  # type: ignore[misc]


@pytest.mark.long
async def test_bytes_pass_over_tls_on_both_sides(stage: Stage) -> None:
    def echo(connection: ssl.SSLSocket) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.unwrap()

    def ping(client: ssl.SSLSocket) -> bytes:
        received = b""
        for at in range(0, len(BIG), 100_000):
            client.sendall(BIG[at : at + 100_000])
            while len(received) < min(at + 100_000, len(BIG)):
                received += client.recv(65536)
        client.unwrap()
        return received

    with tls_server(server_context(APP), echo) as server:
        await stage.open(server.address, mode=Mode.TCP, tls=LISTENER, tls_to=to_backend())
        assert await with_client(stage, ping, context=client_context()) == BIG
        await until(lambda: stage.whys == {Why.OK: 1})
        assert server.ends == ["close_notify"]


async def test_the_next_backend_is_tried_when_a_handshake_fails(stage: Stage) -> None:
    with tls_server(server_context(FRONT)) as wrong, tls_server(server_context(APP), answers_at_the_end) as right:
        await stage.open(wrong.address, right.address, mode=Mode.TCP, tls_to=to_backend())
        client = await stage.client()
        await client.send(b"hello")
        client.half_close()
        assert await client.rest() == b"hello"
        (first, _) = stage.backend_states
        assert stage.cell(first.block + counters.CONNECT_FAILURES) == 1


@pytest.mark.parametrize(
    ("backend_ca", "settings", "why"),
    [(None, to_backend(server_name="other.internal"), Why.BACKEND_TLS_NAME), (CA, to_backend(), Why.BACKEND_TLS_REFUSED)],
)
async def test_a_session_that_finds_no_backend_says_why(
    stage: Stage, backend_ca: object, settings: BackendTls, why: Why
) -> None:
    with tls_server(server_context(APP, backend_ca)) as server:  # type: ignore[arg-type]
        await stage.open(server.address, mode=Mode.TCP, tls_to=settings)
        client = await stage.client()
        assert await client.ending() == "reset"
        await until(lambda: stage.whys == {why: 1})


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_proxy_header_goes_before_the_handshake(stage: Stage, version: str) -> None:
    with tls_server(server_context(APP), answers_at_the_end, header_bytes=28 if version == "v2" else 44) as server:
        await stage.open(server.address, mode=Mode.TCP, tls_to=to_backend(), sends=version)
        client = await stage.client()
        await client.send(b"hello")
        client.half_close()
        assert await client.rest() == b"hello"
        assert server.headers[0].startswith(b"PROXY TCP4" if version == "v1" else b"\r\n\r\n\0\r\nQUIT\n\x21\x11")
