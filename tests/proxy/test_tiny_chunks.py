"""Bodies in chunks of a byte cost much for each byte: they take turns, and hold up nobody who sends something else."""

from __future__ import annotations

import socket

import pytest
from rawclient import Message, Wire, get, ok
from stage import Stage, serve, until

from balance.config.model import HttpConfig
from balance.config.route_model import Buffering
from balance.proxy.http.client import HttpClient
from balance.runtime import counters

CLIENTS, CHUNKS = 20, 2000
BODY = b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def sent_at_once(stage: Stage, data: bytes) -> socket.socket:
    """A client whose bytes are all there before the proxy reads the first of them."""
    sock = socket.create_connection((stage.address.host, stage.address.port))
    sock.sendall(data)
    sock.setblocking(False)
    return sock


async def test_others_are_answered_before_all_is_read(stage: Stage) -> None:
    async def backend(wire: Wire) -> None:
        while data := await wire.some():
            if data.startswith(b"GET"):
                await wire.send(ok())

    stage.backend(backend)
    await stage.open()
    floods = [sent_at_once(stage, POST + b"1\r\nx\r\n" * 5000) for _ in range(CLIENTS)]
    good = await stage.client()
    await good.send(get())
    assert (await good.reply()).status == 200
    clients = [client for client in stage.worker.connections if isinstance(client, HttpClient)]
    uploads = [client._exchange.upload for client in clients if client._exchange is not None]
    received = [upload.received for upload in uploads if upload is not None]
    assert received
    assert max(received) < 5000
    for flood in floods:
        flood.close()
    await until(lambda: len(stage.worker.connections) == 1 and not len(stage.worker.turns))


@pytest.mark.parametrize("buffering", [Buffering(), Buffering(request_bytes=1 << 20), Buffering(request_bytes=1000)])
async def test_what_follows_such_a_body_is_the_next_request(stage: Stage, buffering: Buffering) -> None:
    seen: list[tuple[str, int]] = []

    def answer(request: Message) -> bytes:
        seen.append((request.target, len(request.body)))
        return ok()

    stage.backend(serve(answer))
    await stage.open(http=HttpConfig(buffering=buffering))
    client = await stage.client()
    await client.send(POST + BODY + get("/next") + POST.replace(b" / ", b" /last ") + BODY)
    for _ in range(3):
        assert (await client.reply()).status == 200
    assert seen == [("/", CHUNKS), ("/next", 0), ("/last", CHUNKS)]


async def test_a_client_that_leaves_in_its_turn_leaves_nothing(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    for _ in range(3):
        sent_at_once(stage, POST + BODY[:-5]).close()
    await until(lambda: stage.cell(counters.CONNECTIONS) == 3)
    await until(lambda: not stage.worker.connections and not len(stage.worker.turns))


async def test_a_mistake_in_a_later_turn_is_refused(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await client.send(POST + BODY[:-5] + b"x\r\n")
    assert (await client.reply()).status == 400
    assert await client.ending() in ("eof", "reset")
