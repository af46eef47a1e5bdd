"""WebSocket over a stream (RFC 8441): what tunnels do over HTTP/1 they do over a stream, with its ends and resets."""

from __future__ import annotations

import asyncio
import base64
import hashlib

from http2_client import Http2Client, Reply, connect
from rawclient import Message, Wire, ok
from stage import Stage, until

from balance.config.model import HttpConfig, Timeouts
from balance.http2.errors import CANCEL, PROTOCOL_ERROR
from balance.http2.frames import ENABLE_CONNECT_PROTOCOL
from balance.model import Why
from balance.runtime import counters

H2C = HttpConfig(h2c=True)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GOING_AWAY = b"\x88\x02\x03\xe9"


def switching(request: Message, *fields: str, key: str | None = None) -> bytes:
    accept = base64.b64encode(hashlib.sha1((key or request.get("sec-websocket-key") or "").encode() + GUID).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {accept}"]
    return "\r\n".join([*lines, *fields]).encode() + b"\r\n\r\n"


class Echo:
    """A backend that says what it gets, to its end."""

    def __init__(self) -> None:
        self.request: Message | None = None
        self.got = b""
        self.end = ""

    async def __call__(self, wire: Wire) -> None:
        self.request = await wire.head()
        assert self.request is not None
        await wire.send(switching(self.request, "Sec-WebSocket-Protocol: chat"))
        try:
            while data := await wire.some(1 << 18):
                self.got += data
                await wire.send(data)
            self.end = "eof"
        except ConnectionResetError:
            self.end = "reset"


async def opened(client: Http2Client, *more: tuple[bytes, bytes]) -> int:
    stream = client.h2.get_next_available_stream_id()
    fields = [
        (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":authority", b"a.example"),
        (b":path", b"/chat?room=1"), (b"sec-websocket-version", b"13"),
    ]  # fmt: skip
    client.h2.send_headers(stream, [*fields, *more])
    await client.flush()
    return stream


async def said(client: Http2Client, stream: int, size: int) -> bytes:
    while len(client.replies.get(stream, Reply()).body) < size:
        await client.read()
    return client.replies[stream].body


async def test_bytes_pass_both_ways_and_ends_are_ends(stage: Stage) -> None:
    echo = Echo()
    stage.backend(echo)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await opened(client, (b"sec-websocket-protocol", b"chat"), (b"sec-websocket-key", b"of-no-use"))
    reply = await client.head(stream)
    assert client.settings[ENABLE_CONNECT_PROTOCOL] == 1
    assert (reply.status, reply.get(b"sec-websocket-protocol"), reply.get(b"sec-websocket-accept")) == (200, b"chat", None)
    request = echo.request
    assert request is not None
    assert (request.line, request.get("host"), request.get("upgrade")) == (
        "GET /chat?room=1 HTTP/1.1",
        "a.example",
        "websocket",
    )
    assert request.get("sec-websocket-version") == "13"
    data = bytes(range(256)) * 4000
    await client.send(stream, data)
    assert await said(client, stream, len(data)) == data
    await client.send(stream, b"", ends=True)
    assert (await client.reply(stream)).has_ended
    assert (echo.got, echo.end) == (data, "eof")
    assert stage.cell(counters.CONNECTIONS) == 1
    await until(lambda: not stage.active)
    assert stage.whys == {Why.OK: 2}


async def test_other_streams_run_beside_it(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        while (request := await wire.head()) is not None:
            if request.get("upgrade"):
                await wire.send(switching(request))
                await wire.rest()
                return
            await wire.send(ok())

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    await client.head(await opened(client))
    for _ in range(3):
        assert (await client.reply(await client.request())).status == 200
    client.wire.close()


async def test_what_comes_before_the_200_waits(stage: Stage) -> None:
    gate = asyncio.Event()
    got: list[bytes] = []

    async def script(wire: Wire) -> None:
        request = await wire.head()
        assert request is not None
        await gate.wait()
        assert not wire.unread
        await wire.send(switching(request))
        got.append(await wire.exactly(5))

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await opened(client)
    await client.send(stream, b"early")
    await until(lambda: stage.active)
    gate.set()
    await client.reply(stream)
    assert got == [b"early"]


async def test_reset_passes_both_ways(stage: Stage) -> None:
    echo = Echo()
    stage.backend(echo)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await opened(client)
    await client.head(stream)
    await client.reset(stream)
    await until(lambda: echo.end)
    assert echo.end == "reset"

    async def breaks(wire: Wire) -> None:
        request = await wire.head()
        assert request is not None
        await wire.send(switching(request))
        await asyncio.sleep(0.05)
        wire.reset()

    stage.backends[0]._script = breaks
    stream = await opened(client)
    assert (await client.reply(stream)).reset == CANCEL


async def test_backend_that_refuses_is_passed_on(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await opened(client)
    await client.send(stream, b"early")
    reply = await client.reply(stream)
    assert (reply.status, reply.body) == (403, b"no")


async def test_backend_that_answers_another_key_is_refused(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        request = await wire.head()
        assert request is not None
        await wire.send(switching(request, key="dGhlIHNhbXBsZSBub25jZQ=="))
        await wire.has_ended()

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    assert (await client.reply(await opened(client))).status == 502
    await until(lambda: not stage.active)


async def test_it_is_not_offered_where_websocket_is_off(stage: Stage) -> None:
    await stage.open(http=HttpConfig(h2c=True, websocket=False))
    client = await connect(stage)
    assert (await client.reply(await opened(client))).reset == PROTOCOL_ERROR
    assert ENABLE_CONNECT_PROTOCOL not in client.settings


async def test_other_protocols_are_refused(stage: Stage) -> None:
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(
        stream,
        [
            (b":method", b"CONNECT"),
            (b":protocol", b"connect-udp"),
            (b":scheme", b"http"),
            (b":authority", b"a"),
            (b":path", b"/"),
        ],
    )
    await client.flush()
    assert (await client.reply(stream)).status == 501


async def test_end_of_a_drain_says_going_away_to_both(stage: Stage) -> None:
    told: list[bytes] = []

    async def script(wire: Wire) -> None:
        request = await wire.head()
        assert request is not None
        await wire.send(switching(request))
        told.append(await wire.exactly(8))
        await wire.send(GOING_AWAY)

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = await opened(client)
    await client.head(stream)
    draining = asyncio.ensure_future(stage.listener_server.drain(2.0))
    assert await said(client, stream, 4) == GOING_AWAY
    await client.send(stream, b"\x88\x82\0\0\0\0\x03\xe9", ends=True)
    assert (await client.reply(stream)).has_ended
    assert [close[:2] for close in told] == [b"\x88\x82"]  # masked, as a client's
    await client.over()
    client.wire.close()
    assert await draining == 0


async def test_silent_one_is_cut_at_its_own_timeout(stage: Stage) -> None:
    echo = Echo()
    stage.backend(echo)
    await stage.open(http=H2C, timeouts=Timeouts(tunnel_s=0.2))
    client = await connect(stage)
    stream = await opened(client)
    assert (await client.reply(stream)).reset == CANCEL
    assert Why.IDLE_TIMEOUT in stage.whys


async def test_client_that_does_not_read_pauses_the_backend(stage: Stage) -> None:
    size = 5_000_000
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        request = await wire.head()
        assert request is not None
        await wire.send(switching(request))
        for _ in range(size // 10_000):
            await wire.send(bytes(10_000))
            sent += 10_000

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage, takes=False)
    stream = await opened(client)
    await said(client, stream, 65_535)
    assert sent < size
    client.takes = True
    for target in (None, stream):
        client.h2.increment_flow_control_window(65_535, target)
    await client.flush()
    assert len((await client.reply(stream)).body) == size


async def test_client_connection_that_ends_takes_it_along(stage: Stage) -> None:
    echo = Echo()
    stage.backend(echo)
    await stage.open(http=H2C)
    client = await connect(stage)
    await client.head(await opened(client))
    client.wire.close()
    await stage.settled()
    await until(lambda: echo.end)  # the backend may be told later
    assert echo.end == "reset"
