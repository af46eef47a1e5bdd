"""Requests share few connections to a backend that speaks HTTP/2."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from h2.settings import SettingCodes
from h2_backend import Asked, H2Backend, Peer, replies
from rawclient import Message, Wire, get, post
from stage import Stage, until

from balance.config.model import HttpConfig, Keepalive, Retry, Timeouts
from balance.http2 import frames
from balance.http2.errors import REFUSED_STREAM
from balance.model import Why
from balance.runtime import counters


async def ask(stage: Stage, request: bytes = b"") -> Message:
    client = await stage.client()
    await client.send(request or get())
    reply = await client.reply()
    client.close()
    return reply


async def test_requests_share_a_connection(stage: Stage) -> None:
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    for _ in range(5):
        assert (await ask(stage)).body == b"ok"
    assert len(backend.wires) == 1
    assert [asked.stream_id for asked in played.asked] == [1, 3, 5, 7, 9]
    assert stage.whys == {Why.OK: 5}


async def test_many_at_the_start_wait_for_one_dial(stage: Stage) -> None:
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    found = await asyncio.gather(*(ask(stage) for _ in range(60)))
    assert {reply.status for reply in found} == {200}
    assert len(backend.wires) == 1
    assert stage.count(backend, counters.CONNECTS) == 1


async def test_a_dial_that_fails_fails_all_that_wait_for_it(stage: Stage) -> None:
    await stage.open(stage.refusing(), protocol="h2c")
    found = await asyncio.gather(*(ask(stage) for _ in range(20)))
    assert {reply.status for reply in found} == {502}
    assert stage.whys == {Why.CONNECT_REFUSED: 20}


async def test_a_full_connection_gets_a_second_one_beside_it(stage: Stage) -> None:
    release = asyncio.Event()

    def answer(peer: Peer, asked: Asked) -> None:
        async def later() -> None:
            await release.wait()
            peer.answer(asked.stream_id)
            await peer.flush()

        tasks.append(asyncio.get_running_loop().create_task(later()))

    tasks: list[asyncio.Task[None]] = []
    played = H2Backend(answer, {SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    first = asyncio.create_task(ask(stage))
    await until(lambda: len(played.asked) == 1)
    others = [asyncio.create_task(ask(stage)) for _ in range(4)]
    await until(lambda: len(played.asked) == 5)
    assert sorted(len(peer.asked) for peer in played.peers) == [1, 2, 2]
    assert len(backend.wires) == 3
    release.set()
    assert {reply.status for reply in await asyncio.gather(first, *others)} == {200}
    await asyncio.gather(*tasks)
    await stage.settled()


async def test_a_limit_that_comes_late_refuses_nobody(stage: Stage) -> None:
    """The backend's settings come after the first requests, of which it refuses what is too many: POSTs, too."""

    async def first_connection(wire: Wire) -> None:
        peer = Peer(wire, {})
        peer.h2.initiate_connection()  # and nothing of it is sent
        while len(peer.asked) < 8:
            assert await peer.events()
        served, *others = peer.asked
        for stream_id in others:
            peer.h2.reset_stream(stream_id, REFUSED_STREAM)
        peer.answer(served)
        await wire.send(peer.h2.data_to_send() + frames.settings([(frames.MAX_CONCURRENT_STREAMS, 1)]))
        await played.go_on(peer)

    async def script(wire: Wire) -> None:
        await (played.script if wire.number else first_connection)(wire)

    played = replies()
    backend = stage.backend(script)
    await stage.open(protocol="h2c")
    found = await asyncio.gather(*(ask(stage, post(b"body")) for _ in range(8)))
    assert {reply.status for reply in found} == {200}
    assert {bytes(asked.body) for asked in played.asked} == {b"body"}
    assert stage.whys == {Why.OK: 8}
    assert stage.count(backend, counters.FAILURES) == stage.count(backend, counters.RETRIES) == 0


async def test_a_connection_without_streams_is_closed_after_the_idle_timeout(stage: Stage) -> None:
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c", http=HttpConfig(keepalive=Keepalive(idle_timeout_s=0.1)))
    await ask(stage)
    assert len(stage.of(backend).idle) == 1
    await until(lambda: played.peers[0].terminated == 0)
    await until(lambda: not stage.of(backend).open_count)
    await ask(stage)
    assert len(backend.wires) == 2


async def test_none_is_kept_where_none_may_be(stage: Stage) -> None:
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c", http=HttpConfig(keepalive=Keepalive(max_idle_per_backend=0)))
    await ask(stage)
    await ask(stage)
    assert len(backend.wires) == 2


async def test_a_connection_ends_after_so_many_requests(stage: Stage) -> None:
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c", http=HttpConfig(keepalive=Keepalive(max_requests=2)))
    for _ in range(5):
        assert (await ask(stage)).status == 200
    assert [len(peer.asked) for peer in played.peers] == [2, 2, 1]
    assert len(backend.wires) == 3


async def test_websockets_need_http1(stage: Stage) -> None:
    played = replies()
    stage.backend(played.script)
    await stage.open(protocol="h2c")
    request = get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a")
    assert (await ask(stage, request)).status == 502
    assert stage.whys == {Why.NEEDS_HTTP1: 1}
    assert not played.asked


async def test_a_connect_timeout_is_that_of_the_dial(stage: Stage) -> None:
    await stage.open(stage.hanging(), protocol="h2c", timeouts=Timeouts(connect_s=0.1), retry=Retry(enabled=False))
    found = await asyncio.gather(*(ask(stage) for _ in range(3)))
    assert {reply.status for reply in found} == {504}
    assert stage.whys == {Why.CONNECT_TIMEOUT: 3}


async def test_max_connections_counts_requests(stage: Stage) -> None:
    release = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    def answer(peer: Peer, asked: Asked) -> None:
        async def later() -> None:
            await release.wait()
            peer.answer(asked.stream_id)
            await peer.flush()

        tasks.append(asyncio.get_running_loop().create_task(later()))

    played = H2Backend(answer)
    stage.backend(played.script)
    await stage.open(protocol="h2c", limits=[2])
    asking = [asyncio.create_task(ask(stage)) for _ in range(5)]
    await until(lambda: len(played.asked) == 2)
    assert stage.active == 2
    release.set()
    assert {reply.status for reply in await asyncio.gather(*asking)} == {200}
    await asyncio.gather(*tasks)
    assert len(played.peers) == 1


async def test_a_backend_that_a_reload_removes_ends_what_it_has(stage: Stage) -> None:
    played = H2Backend(lambda peer, asked: None)
    backend, other = stage.backend(played.script), stage.backend(replies(b"other").script)
    await stage.open(protocol="h2c")
    asking = asyncio.create_task(ask(stage))
    await until(lambda: played.asked)
    config = stage.snapshot.config
    pool = config.pools[0]
    left = tuple(each for each in pool.backends if each.address == other.address)
    await stage.reload(replace(config, pools=(replace(pool, backends=left),)))
    assert (await ask(stage)).body == b"other"
    assert played.peers[0].terminated is None
    played.peers[0].answer(1, b"late")
    await played.peers[0].flush()
    assert (await asking).body == b"late"
    await until(lambda: played.peers[0].terminated == 0)
    assert len(backend.wires) == 1


async def test_connections_that_take_no_requests_are_no_backend(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.send(frames.settings([(frames.MAX_CONCURRENT_STREAMS, 0)]))
        await wire.has_ended()

    backend = stage.backend(script)
    await stage.open(protocol="h2c", timeouts=Timeouts(read_s=0.3))
    await ask(stage)  # it may be sent before the limit is known, and is never answered
    assert (await ask(stage)).status == 502
    assert len(backend.wires) < 12
