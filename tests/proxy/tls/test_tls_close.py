"""How TLS connections end: a cut is no end of a message, and whoever does not answer a close is closed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading

import pytest
from pem_files import self_signed
from rawclient import Ended, Wire, ok
from stage import Stage, serve, until
from tls_client import with_client

from balance.config.model import QueueConfig
from balance.model import Mode, Why
from balance.tls.settings import ServerTls

TLS = ServerTls(True, (self_signed("a.example").certificate,), alpn_protocols=("http/1.1",))
UPLOAD = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nhalf"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"


@pytest.mark.parametrize("request_head", [UPLOAD, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("is_told", [False, True])
async def test_an_upload_that_is_cut_is_no_whole_one(stage: Stage, request_head: bytes, is_told: bool) -> None:
    """By a FIN without close_notify, which anybody on the way can send, or with one."""
    ends: list[object] = []
    begun = threading.Event()

    async def backend(wire: Wire) -> None:
        try:
            message = await wire.head()
            begun.set()
            assert message is not None
            await wire.body(message)
            ends.append("whole")
        except (Ended, ConnectionResetError) as error:
            ends.append(error)

    stage.backend(backend)
    await stage.open(tls=TLS)

    def cut(client: ssl.SSLSocket) -> None:
        client.sendall(request_head)
        assert begun.wait(10)
        if is_told:
            client.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ssl.SSLError, OSError):
                client.unwrap()

    await with_client(stage, cut)
    await until(lambda: ends)
    assert ends != ["whole"]
    assert stage.whys == {Why.CLIENT_ABORT: 1}


@pytest.mark.parametrize("is_told", [False, True])
async def test_what_came_before_the_backend_was_there_arrives_though_its_client_has_left(stage: Stage, is_told: bool) -> None:
    got: list[bytes] = []
    go_on = asyncio.Event()

    async def backend(wire: Wire) -> None:
        if not go_on.is_set():
            await wire.send(b"!")
            await go_on.wait()
            return
        with contextlib.suppress(ConnectionResetError):
            while data := await wire.some():
                got.append(data)
        got.append(b", the end")

    stage.backend(backend)
    await stage.open(mode=Mode.TCP, tls=TLS, limits=[1], queue=QueueConfig(timeout_s=15.0))
    sent = b"all of it" * 5000

    def first(client: ssl.SSLSocket) -> None:
        assert client.recv(1) == b"!"
        client.recv(1)

    def leave(client: ssl.SSLSocket) -> None:
        client.sendall(sent)
        client.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            client.recv(1)  # the tickets: to close with something unread is a reset
        if is_told:
            client.settimeout(1.0)
            with contextlib.suppress(TimeoutError, ssl.SSLError, OSError):
                client.unwrap()

    occupying = asyncio.create_task(with_client(stage, first))
    await until(lambda: stage.active == 1)
    await with_client(stage, leave)
    await until(lambda: len(stage.worker.connections) == 1)  # it has left, and still waits
    go_on.set()
    await until(lambda: got[-1:] == [b", the end"])
    assert b"".join(got) == sent + b", the end"
    await occupying
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.parametrize("is_told", [False, True])
async def test_in_tcp_mode_the_backend_sees_that_the_client_is_gone(stage: Stage, is_told: bool) -> None:
    """TLS has no half-close here: an end of the client ends the session, after all that it has sent to a connected backend."""
    got: list[bytes] = []
    begun = threading.Event()

    async def backend(wire: Wire) -> None:
        begun.set()
        with contextlib.suppress(ConnectionResetError):
            while data := await wire.some():
                got.append(data)
        got.append(b", the end")

    stage.backend(backend)
    await stage.open(mode=Mode.TCP, tls=TLS)

    def leave(client: ssl.SSLSocket) -> None:
        assert begun.wait(10)
        client.sendall(b"all of it")
        if is_told:
            client.settimeout(1.0)
            with contextlib.suppress(TimeoutError, ssl.SSLError, OSError):
                client.unwrap()

    await with_client(stage, leave)
    await until(lambda: got[-1:] == [b", the end"])
    assert b"".join(got) == b"all of it, the end"
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.pure
async def test_who_does_not_answer_a_close_is_closed_soon(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.proxy.tls.tls_transport.SHUTDOWN_S", 0.3)
    await stage.open(tls=TLS)

    def stay(client: ssl.SSLSocket) -> bytes:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\nContent-Length: 1000000000000\r\n\r\n")
        received = b""
        with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
            while data := client.recv(65536):
                received += data
        with contextlib.suppress(OSError):
            for _ in range(100_000):  # close_notify came, and it sends on and on
                client.sendall(bytes(16384))
            pytest.fail("it may send without end")
        return received

    assert (await with_client(stage, stay)).startswith(b"HTTP/1.1 400 ")
    await until(lambda: not stage.worker.descriptors.clients)


@pytest.mark.pure
async def test_a_client_that_has_said_all_is_closed_with_its_last_reply(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told the end of TLS and of the stream, whole, and nobody waits for its own goodbye."""
    monkeypatch.setattr("balance.proxy.tls.tls_transport.SHUTDOWN_S", 1000.0)
    stage.backend(serve(ok()))
    await stage.open(tls=TLS)
    is_gone = threading.Event()

    def ask(client: ssl.SSLSocket) -> bytes:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        received = b""
        while data := client.recv(65536):  # SSLEOFError where the close_notify is missing
            received += data
        assert is_gone.wait(10)  # and it says nothing
        return received

    asking = asyncio.create_task(with_client(stage, ask))
    await until(lambda: stage.whys == {Why.OK: 1} and not stage.worker.descriptors.clients)
    is_gone.set()
    assert (await asking).endswith(b"ok")


async def test_the_rest_of_a_last_reply_is_waited_for(stage: Stage) -> None:
    """All is said and done here when the client begins to read."""
    body = bytes(8_000_000)
    stage.backend(serve(ok(body)))
    await stage.open(tls=TLS)
    is_done = threading.Event()

    def ask(client: ssl.SSLSocket) -> bytes:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        assert is_done.wait(10)
        received = b""
        while data := client.recv(65536):
            received += data
        return received

    asking = asyncio.create_task(with_client(stage, ask))
    await until(lambda: stage.worker.connections)
    is_done.set()
    assert (await asking).endswith(body)
    await until(lambda: not stage.worker.descriptors.clients)
