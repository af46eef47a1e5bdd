"""A backend that answers before it has read its request, and closes: its answer arrives, whoever notices the end first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from polling import is_readable
from rawclient import Wire, get, ok, post
from scripts import failures
from stage import Stage, until

from balance.config.model import Timeouts
from balance.model import Address, Mode, Why
from balance.proxy.http import connect
from balance.runtime import counters

TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"


class Refusing(threading.Thread):
    """On a thread of its own, so that its close meets our writes anywhere: reads `after` bytes, answers, closes.

    With `keeps` it answers a GET before, on the same connection.
    """

    def __init__(self, after: int, *, keeps: bool = False) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = Address("127.0.0.1", self.listening.getsockname()[1])
        self._after = after
        self._keeps = keeps

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listening.accept()
                with sock, contextlib.suppress(OSError):
                    if self._keeps:
                        head = b""
                        while not head.endswith(b"\r\n\r\n"):
                            head += sock.recv(1)
                        sock.sendall(ok())
                    left = self._after
                    while left and (data := sock.recv(left)):
                        left -= len(data)
                    sock.sendall(TOO_LARGE)


@pytest.fixture(params=[0, 1, 200, 5000])
def refusing(request: pytest.FixtureRequest) -> Iterator[Refusing]:
    backend = Refusing(request.param)
    backend.start()
    yield backend
    backend.listening.close()


async def upload(client: Wire, size: int, pieces: int) -> bytes:
    """What the client of such an upload reads, whether or not it could send all of it."""
    piece = bytes(size // pieces)
    received = asyncio.ensure_future(client.rest())
    with contextlib.suppress(ConnectionError):
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(pieces):
            await client.send(piece)
            await asyncio.sleep(0)
            if received.done():
                break
    return await received


async def test_its_reply_arrives_on_a_fresh_connection(stage: Stage, refusing: Refusing) -> None:
    await stage.open(refusing.address)
    seen: Counter[bytes] = Counter()
    for number in range(60):
        client = await stage.client()
        seen[(await upload(client, (6_000, 40_000, 300_000)[number % 3], 1 + number % 7))[9:12]] += 1
        client.close()
    assert seen == {b"413": 60}
    assert failures(stage) == [0]
    assert stage.whys == {Why.OK: 60}


async def test_and_on_one_that_was_used_before(stage: Stage) -> None:
    backend = Refusing(200, keeps=True)
    backend.start()
    await stage.open(backend.address)
    seen: Counter[bytes] = Counter()
    for number in range(60):
        client = await stage.client()
        client.send_now(get())
        assert (await client.reply()).status == 200
        seen[(await upload(client, (6_000, 40_000, 300_000)[number % 3], 1 + number % 7))[9:12]] += 1
        client.close()
    assert seen == {b"413": 60}
    assert failures(stage) == [0]
    backend.listening.close()


class TardyLoop:
    """Its connections are told of when the backend has spoken on them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, *arguments: Any) -> Any:
        transport, protocol = await self._loop.create_connection(*arguments)
        await until(lambda: protocol.early)
        return transport, protocol


@pytest.mark.pure
async def test_reply_that_comes_before_the_request_is_the_last_on_its_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that has too many connections already."""

    async def script(wire: Wire) -> None:
        wire.send_now(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull")
        await wire.rest()

    monkeypatch.setattr(connect, "ON_THE_POLL", False)
    backend = stage.backend(script)
    await stage.open()
    stage.worker.loop = TardyLoop(stage.loop)  # type: ignore[assignment]
    client = await stage.client()
    for _ in range(2):
        await client.send(get())
        assert (await client.reply()).body == b"full"
    assert stage.of(backend).idle == []
    assert len(backend.wires) == 2


async def test_reply_that_comes_with_the_connect_is_the_last_on_its_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where no task waits for the connect."""
    monkeypatch.setattr(connect, "ON_THE_POLL", True)
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as held:
        await stage.open(Address("127.0.0.1", server.getsockname()[1]))
        (backend,) = stage.backend_states
        cell = backend.block + counters.CONNECTS
        client = await stage.client()
        for number in (1, 2):
            client.send_now(get())
            while stage.cell(cell) < number:  # noqa: ASYNC110  # in the very next turn of the loop
                await asyncio.sleep(0)
            # Connected by the kernel; the proxy hears of it at the next turn of the loop, with what has come.
            far, _ = server.accept()
            held.enter_context(far)
            far.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull")
            assert (await client.reply()).body == b"full"
            assert backend.idle == []
        client.close()


@pytest.mark.parametrize(("size", "status", "connections"), [(300_000, 413, 2), (300_000, 200, 1), (1000, 413, 1)])
async def test_connection_on_which_a_long_body_was_refused_serves_no_other_request(
    stage: Stage, size: int, status: int, connections: int
) -> None:
    """It may hold an unread body, whatever the reply promises: gunicorn's gthread closes it under the next request."""

    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            await wire.send(b"HTTP/1.1 %d Whatever\r\nContent-Length: 2\r\n\r\nok" % status)

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    for _ in range(2):
        await client.send(post(bytes(size)))
        assert (await client.reply()).status == status
    assert len(backend.wires) == connections


async def test_reply_that_its_close_ends_is_whole_when_its_end_came_before_the_reset(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\ntoo large")
        wire.half_close()
        await wire.exactly(50_000)
        wire.reset()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(post(bytes(49_000))[:-49_000].replace(b"49000", b"500000"))
    received = asyncio.ensure_future(client.rest())
    with contextlib.suppress(ConnectionError):
        for _ in range(50):
            await client.send(bytes(10_000))
    assert (await received).endswith(b"too large")


@pytest.mark.pure
async def test_client_that_goes_on_sending_for_long_still_reads_the_reply(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balance.proxy.http.client.LINGER_S", 0.3)
    backend = Refusing(200)
    backend.start()
    await stage.open(backend.address)
    client = await stage.client()
    await client.send(post(b"")[:-4].replace(b"h: 0", b"h: 999999") + b"\r\n\r\n")
    for _ in range(16):
        await client.send(b"slow")
        await asyncio.sleep(0.05)
    assert (await client.reply()).status == 413
    backend.listening.close()


# --- TCP mode --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tunnel", [False, True])
@pytest.mark.parametrize("has_ended", [False, True])
async def test_backends_last_bytes_arrive_although_it_takes_no_more(stage: Stage, is_tunnel: bool, has_ended: bool) -> None:
    """A write of the relay's meets its reset before they have been read."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        if is_tunnel:
            await wire.request()
            await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n")
        await wire.send(b"ready")
        await go.wait()

    backend = stage.backend(script)
    await stage.open(mode=Mode.HTTP if is_tunnel else Mode.TCP)
    client = await stage.client()
    if is_tunnel:
        await client.send(get("/", "Connection: upgrade", "Upgrade: any"))
        await client.until(b"\r\n\r\n")
    assert await client.exactly(5) == b"ready"
    (wire,) = backend.wires
    client.send_now(b"y" * 1000)
    await until(lambda: is_readable(wire.sock))
    client.send_now(b"z" * 1000)  # from here on the proxy gets no turn before all has happened, and this is first
    wire.send_now(b"too many connections")
    if has_ended:
        wire.half_close()
    wire.sock.close()  # with bytes unread: a reset follows what it has said
    go.set()
    assert await client.exactly(20) == b"too many connections"
    assert await client.ending() == ("eof" if has_ended else "reset")


async def test_clients_last_bytes_arrive_although_it_takes_no_more(stage: Stage) -> None:
    got: list[bytes] = []

    async def script(wire: Wire) -> None:
        with contextlib.suppress(ConnectionError):
            await wire.send(bytes(300_000))
        with contextlib.suppress(ConnectionError):
            while data := await wire.some():
                got.append(data)

    stage.backend(script)
    await stage.open(mode=Mode.TCP)
    for _ in range(10):
        got.clear()
        client = await stage.client()
        await client.exactly(1000)
        await client.send(b"QUIT")
        client.close()  # with much unread: a reset follows
        await until(lambda: b"".join(got) == b"QUIT")


async def test_reset_waits_until_a_slow_reader_has_what_was_sent_before_it(stage: Stage) -> None:
    size = 600_000

    async def script(wire: Wire) -> None:
        await wire.send(bytes(size))
        await asyncio.sleep(0.3)
        wire.reset()

    backend = stage.backend(script)
    await stage.open(mode=Mode.TCP, send_buffer=1 << 20)
    client = await stage.client(receive_buffer=4096)
    await asyncio.sleep(0.5)
    received = 0
    with pytest.raises(ConnectionResetError):
        while data := await client.some(1 << 16):
            received += len(data)
            await asyncio.sleep(0.005)
    assert received > 60_000 + 100_000
    assert backend.failures == []


# --- a reply that breaks off -----------------------------------------------------------------------------------


async def what_a_slow_reader_gets(stage: Stage, reply: bytes, version: str) -> tuple[int, str]:
    """Of a reply whose backend breaks it off when the proxy has all that there is of it: bytes of body, and the end."""
    sent = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(reply)
        await sent.wait()
        wire.reset()

    stage.backend(script)
    await stage.open(send_buffer=1 << 20)
    client = await stage.client(receive_buffer=4096)
    await client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    await client.until(b"\r\n\r\n")
    await asyncio.sleep(0.1)
    sent.set()
    await asyncio.sleep(0.1)
    received = len(client.unread)
    client.unread = b""
    try:
        while data := await client.some(1 << 16):
            received += len(data)
            await asyncio.sleep(0.002)
    except ConnectionResetError:
        return received, "reset"
    return received, "eof"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_reply_of_known_length_that_breaks_off_ends_with_all_that_there_is(stage: Stage, version: str) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(200_000)
    assert await what_a_slow_reader_gets(stage, reply, version) == (200_000, "eof")


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30d41\r\n"]
)
async def test_reply_that_only_its_close_ends_is_reset_behind_all_that_there_is(stage: Stage, head: bytes) -> None:
    assert await what_a_slow_reader_gets(stage, head + bytes(200_000), "1.0") == (200_000, "reset")


async def test_client_that_takes_no_more_of_it_is_reset_without_it(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(200_000))
        wire.reset()

    stage.backend(script)
    await stage.open(send_buffer=1 << 20, timeouts=Timeouts(write_s=0.3))
    client = await stage.client(receive_buffer=4096)
    await client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    await until(lambda: stage.whys)
    await until(lambda: not stage.worker.connections)
    with pytest.raises(ConnectionResetError):
        await client.rest()
