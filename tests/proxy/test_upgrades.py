"""An offer to upgrade, with a body or without: taken, declined, or none that goes on; the request is never the worse for it."""

import asyncio

import pytest
from rawclient import Message, Wire, chunked, get, ok, post
from stage import Stage, until

from balance.proxy.http.client import HttpClient
from balance.proxy.tunnel.websocket import WebSocketEnd

START = b'{"Detach": false, "Tty": true}'  # what `docker exec` sends
OFFER = ("Connection: Upgrade", "Upgrade: tcp", "Content-Type: application/json")
SWITCHING = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def in_chunks(*parts: bytes) -> bytes:
    head = ["POST /exec HTTP/1.1", "Host: a.example", "Transfer-Encoding: chunked", *OFFER]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + chunked(*parts)


async def shell(wire: Wire) -> None:
    """Reads the whole request, then switches and echoes."""
    request = await wire.request()
    assert request is not None
    assert (request.get("upgrade"), request.get("connection"), request.body) == ("tcp", "Upgrade", START)
    await wire.send(SWITCHING + b"$ ")
    while data := await wire.some():
        await wire.send(data)


@pytest.mark.parametrize("sent", [post(START, *OFFER), in_chunks(START), in_chunks(START[:5], START[5:])])
@pytest.mark.parametrize("step", [1 << 20, 7])
async def test_tunnel_begins_after_the_body(stage: Stage, sent: bytes, step: int) -> None:
    stage.backend(shell)
    await stage.open()
    client = await stage.client()
    for at in range(0, len(sent), step):
        await client.send(sent[at : at + step])
        await asyncio.sleep(0)
    reply = await client.head()
    assert reply is not None
    assert (reply.status, reply.get("upgrade"), reply.get("connection")) == (101, "tcp", "Upgrade")
    assert await client.exactly(2) == b"$ "
    await client.send(b"ls\n\r\n0\r\n\r\n")
    assert await client.exactly(10) == b"ls\n\r\n0\r\n\r\n"


async def test_bytes_right_behind_the_body_are_the_tunnels(stage: Stage) -> None:
    stage.backend(shell)
    await stage.open()
    client = await stage.client()
    await client.send(post(START, *OFFER) + get("/inside"))
    assert (await client.head()) is not None
    assert await client.exactly(2 + len(get("/inside"))) == b"$ " + get("/inside")


@pytest.mark.parametrize(
    ("body", "marks"),
    [
        (b"Content-Length: 10\r\n\r\nhelloworld", [1, 5, 9]),
        (b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"hello", b"world"), range(1, 25)),
        (b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nSum: 1\r\n\r\n", range(1, 28)),
    ],
    ids=["length", "chunks", "extension and trailer"],
)
async def test_what_is_left_of_a_body_at_the_switch_comes_before_the_new_protocol(
    stage: Stage, body: bytes, marks: list[int]
) -> None:
    """Wherever in the body the 101 comes; that much of it has gone on may have lost its extensions."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        assert await wire.head() is not None
        await go.wait()
        go.clear()
        await wire.send(SWITCHING)
        await wire.send(b"%06d" % len(data := await wire.until(b"END")) + data)

    stage.backend(script)
    await stage.open()
    head, _, content = (b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n" + body).partition(b"\r\n\r\n")
    for mark in marks:
        client = await stage.client()
        await client.send(head + b"\r\n\r\n" + content[:mark])
        await until(lambda: stage.active == 1)
        go.set()
        reply = await client.head()
        assert reply is not None and reply.status == 101
        await client.send(content[mark:] + b"GET / HTTP/1.1\r\n\r\nEND")
        got = await client.exactly(int(await client.exactly(6)))
        assert got.replace(b";x=y", b"") == content.replace(b";x=y", b"") + b"GET / HTTP/1.1\r\n\r\nEND"
        client.close()
        await stage.settled()


async def test_large_body_that_the_backend_does_not_read_is_bounded_through_its_switch(stage: Stage) -> None:
    go = asyncio.Event()
    size = 12_000_000

    async def script(wire: Wire) -> None:
        await wire.head()
        await go.wait()
        await wire.send(SWITCHING)
        assert await wire.exactly(size + 4) == b"x" * size + b"more"
        await wire.send(b"done")

    stage.backend(script, receive_buffer=4096)
    await stage.open()
    client = await stage.client()
    data = post(b"x" * size, *OFFER) + b"more"
    sending = asyncio.get_running_loop().create_task(client.send(data))
    await until(lambda: any(isinstance(it, HttpClient) and it._paused_for for it in stage.worker.connections))
    go.set()
    assert await client.head() is not None
    assert await client.rest() == b"done"
    await sending


async def test_what_is_left_of_a_body_is_not_taken_for_frames(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCHING.replace(b"tcp", b"websocket"))
        await wire.has_ended()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\nhell"
    )
    assert await client.head() is not None
    assert not any(isinstance(connection, WebSocketEnd) for connection in stage.worker.connections)


@pytest.mark.parametrize("protocol", ["tcp", "TLS/1.2", "h2c", "websocket", "a b, TLS/1.0"])
@pytest.mark.parametrize("sent", [post(b"hello", "Connection: Upgrade, Keep-Alive", "Upgrade: %s"),
                                  in_chunks(b"hello").replace(b"Upgrade: tcp", b"Upgrade: %s")])  # fmt: skip
async def test_bytes_behind_an_offer_with_a_body_that_is_declined_are_requests(
    stage: Stage, protocol: str, sent: bytes
) -> None:
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            seen.append(request)
            await wire.send(ok(request.body))

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(sent.replace(b"%s", protocol.encode()) + get("/next"))
    assert [(await client.reply()).body for _ in range(2)] == [b"hello", b""]
    assert seen[0].get("upgrade") == (protocol if protocol in ("tcp", "websocket") else None)
    assert seen[1].target == "/next"
    assert len(backend.wires) == 1


async def test_offer_keeps_its_case_and_its_order_and_may_be_taken_in_another(stage: Stage) -> None:
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        request = await wire.head()
        assert request is not None
        seen.append(request)
        await wire.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: rta/X11\r\n\r\n")
        await wire.has_ended()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(get("/", "Connection: Upgrade", "Upgrade: IRC/6.9, RTA/x11"))
    reply = await client.head()
    assert reply is not None
    assert (reply.status, reply.get("upgrade")) == (101, "rta/X11")
    assert seen[0].get("upgrade") == "IRC/6.9, RTA/x11"


@pytest.mark.parametrize("connection", ["Upgrade", "Upgrade, close"])
async def test_426_says_to_what(stage: Stage, connection: str) -> None:
    async def script(wire: Wire) -> None:
        while await wire.request() is not None:
            await wire.send(
                f"HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.0, HTTP/1.1\r\nConnection: {connection}\r\n"
                "Content-Length: 2\r\n\r\nno".encode()
            )
            if "close" in connection:
                return

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    for _ in range(2):
        await client.send(get())
        reply = await client.reply()
        assert (reply.status, reply.body) == (426, b"no")
        assert (reply.get("upgrade"), reply.get("connection")) == ("TLS/1.0, HTTP/1.1", "Upgrade")


async def test_other_replies_advertise_nothing_of_the_next_hop(stage: Stage) -> None:
    stage.backend(lambda wire: plain(wire))

    async def plain(wire: Wire) -> None:
        while await wire.request() is not None:
            await wire.send(ok(b"ok", "Upgrade: h2,h2c", "Connection: Upgrade, Keep-Alive"))

    await stage.open()
    client = await stage.client()
    await client.send(get())
    reply = await client.reply()
    assert (reply.get("upgrade"), reply.get("connection")) == (None, None)
