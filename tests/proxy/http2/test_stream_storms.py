"""Streams that begin, wait, break off and end in any order, on both sides: nothing is left, and nobody gets another's reply."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest
from h2.exceptions import ProtocolError
from http2_client import Http2Client, Reply, connect
from rawclient import Wire, chunked, ok
from stage import Stage, until

from balance.config.model import HttpConfig, Retry, Timeouts
from balance.config.route_model import Buffering, Compression

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


def backend(random: Random):  # type: ignore[no-untyped-def]
    """Answers with the target, in one of many ways; or breaks off, before or in between."""

    async def script(wire: Wire) -> None:
        while True:
            is_early = random.random() < 0.1
            request = await (wire.head() if is_early else wire.request())
            if request is None:
                return
            target = request.target.encode()
            way = random.randrange(8)
            if random.random() < 0.3:
                await asyncio.sleep(random.random() * 0.02)
            if way == 0:
                wire.reset()
                return
            if way == 1:
                await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + target)
                return
            if way == 2:
                await wire.send(b"HTTP/1.0 200 OK\r\n\r\n" + target)
                return
            if way == 3:
                await wire.send(CHUNKED + chunked(target, trailers=b"X-Sum: 1\r\n"))
            elif way == 4:
                await wire.send(ok(target + b" " * 150_000))
            elif way == 5:
                for part in (CHUNKED, b"%x\r\n%b\r\n" % (len(target), target), b"0\r\n\r\n"):
                    await wire.send(part)
                    await asyncio.sleep(0.001)
            else:
                await wire.send(ok(target))
            if is_early:  # and the rest of the request is not read
                return

    return script


class Storm:
    """One client that does anything."""

    def __init__(self, client: Http2Client, random: Random) -> None:
        self.client = client
        self.random = random
        self.paths: dict[int, str] = {}
        self.window = 65_535

    async def run(self, steps: int) -> None:
        client, random = self.client, self.random
        reading: asyncio.Future[None] | None = None
        for _ in range(steps):
            open_now = [stream for stream in self.paths if not self._is_over(stream)]
            action = random.random()
            with contextlib.suppress(ProtocolError):  # h2 knows of an end that the dice do not
                if len(open_now) < 20 and action < 0.5:
                    await self._begin()
                elif open_now and action < 0.6:
                    await client.reset(random.choice(open_now))
                elif action < 0.65:
                    client.h2.ping(b"12345678")
                    await client.flush()
                elif action < 0.7:
                    self.window += 5000  # never less: h2 takes no end without content while a window is below 0
                    client.h2.update_settings({4: self.window})
                    await client.flush()
            if reading is None:
                reading = asyncio.ensure_future(client.read())
            await asyncio.wait({reading}, timeout=0.002)  # cancelled, it might lose what it has read
            if reading.done():
                await reading
                reading = None
            if client.is_over:
                return
        if reading is not None:
            reading.cancel()

    def _is_over(self, stream: int) -> bool:
        reply = self.client.replies.get(stream)
        return reply is not None and (reply.has_ended or reply.reset is not None)

    async def _begin(self) -> None:
        client, random = self.client, self.random
        path = f"/{random.randrange(1 << 60)}"
        way = random.randrange(4)
        if way < 2:
            stream = await client.request(path, (b"accept-encoding", b"gzip"))
        else:
            stream = await client.request(path, method="POST", ends=False)
            size = min(random.choice([0, 1, 3000]), client.h2.local_flow_control_window(stream))
            client.h2.send_data(stream, bytes(size), end_stream=way == 2)
            await client.flush()
        self.paths[stream] = path

    def check(self) -> None:
        """Whatever came is of the right request."""
        for stream, path in self.paths.items():
            reply = self.client.replies.get(stream) or Reply()
            if reply.fields and reply.status == 200 and reply.body and not reply.get(b"content-encoding"):
                assert path.encode().startswith(reply.body[: len(path)]) or reply.body.startswith(path.encode())


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_left_of_any_order(stage: Stage, seed: int) -> None:
    random = Random(seed)
    for _ in range(2):
        stage.backend(backend(Random(random.random())))
    http = HttpConfig(
        h2c=True,
        buffering=Buffering(request_bytes=2000, response_bytes=50_000) if seed % 2 else Buffering(),
        compression=Compression(enabled=seed % 3 == 0),
    )
    await stage.open(http=http, retry=Retry(), timeouts=Timeouts(read_s=1.0, client_body_s=0.5, write_s=0.5))
    storms = [Storm(await connect(stage), random) for _ in range(3)]
    await asyncio.gather(*(storm.run(120) for storm in storms))
    for storm in storms:
        storm.check()
    storms[0].client.wire.reset()
    storms[1].client.wire.close()
    storms[2].client.wire.half_close()
    await until(lambda: not stage.worker.connections)
    await stage.settled()
