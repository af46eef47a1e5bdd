"""The life of a connection of HTTP/2 to a backend: limits, ends, and what becomes of the requests on it."""

from __future__ import annotations

import asyncio
import time

import pytest
from h2.errors import ErrorCodes
from h2_backend import Asked, H2Backend, Peer, replies
from rawclient import Message, Wire, get, post
from stage import Stage, until

from balance.config.model import Retry, Timeouts
from balance.http2 import frames
from balance.http2.errors import REFUSED_STREAM
from balance.model import Why
from balance.proxy.http.http2_backends.upstream_connection import UpstreamConnection
from balance.proxy.net.turns import TURN_S
from balance.runtime import counters


async def ask(stage: Stage, request: bytes = b"") -> Message:
    client = await stage.client()
    await client.send(request or get())
    reply = await client.reply()
    client.close()
    return reply


async def test_a_backend_of_http1_is_named_as_such(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await wire.has_ended()

    backend = stage.backend(script)
    await stage.open(protocol="h2c")
    assert (await ask(stage)).status == 502
    assert f"backend pool/n1 at {stage.of(backend).address}: it answers as HTTP/1, and its protocol here is h2c" in caplog.text


def waiting(peer: Peer, asked: Asked) -> None:
    """No answer."""


def leaving(last: int, count: int, played: H2Backend) -> H2Backend:
    """Its first connection takes `count` requests, says GOAWAY with `last` as the last, and answers those up to it."""

    async def script(wire: Wire) -> None:
        if wire.number:
            await played.script(wire)
            return
        peer = Peer(wire, {})
        played.peers.append(peer)
        peer.h2.initiate_connection()
        await peer.flush()
        while sum(asked.is_whole for asked in peer.asked.values()) < count:
            assert await peer.events()
        await wire.send(frames.goaway(last, 0, b"enough"))
        for stream_id in peer.asked:
            if stream_id <= last:
                peer.answer(stream_id, b"first")
        await peer.flush()
        await wire.has_ended()

    made = H2Backend(waiting)
    made._play = script  # type: ignore[method-assign]
    return made


async def test_what_is_above_a_goaway_goes_elsewhere_and_the_rest_finishes(stage: Stage) -> None:
    played = replies(b"second")
    backend = stage.backend(leaving(19, 50, played).script)
    await stage.open(protocol="h2c")
    found = await asyncio.gather(*(ask(stage, post(b"body")) for _ in range(50)))
    assert sorted(reply.body for reply in found) == [b"first"] * 10 + [b"second"] * 40
    assert stage.whys == {Why.OK: 50}
    assert stage.count(backend, counters.FAILURES) == stage.count(backend, counters.RETRIES) == 0
    assert len(backend.wires) == 2


async def test_the_last_words_of_a_connection_are_heard(stage: Stage) -> None:
    """More frames than one turn takes, the last of them a GOAWAY, and the end: nginx at `keepalive_requests`."""

    async def script(wire: Wire) -> None:
        if wire.number:
            await played.script(wire)
            return
        peer = Peer(wire, {})
        peer.h2.initiate_connection()
        await peer.flush()
        while sum(asked.is_whole for asked in peer.asked.values()) < 50:
            await peer.events()
        words = b""
        for stream_id in list(peer.asked)[:40]:
            peer.answer(stream_id, b"first")
            words += peer.h2.data_to_send() + frames.rst_stream(stream_id, 0)
        await wire.send(words + frames.goaway(79, 0))

    played = replies(b"second")
    stage.backend(script)
    await stage.open(protocol="h2c")
    found = await asyncio.gather(*(ask(stage, post(b"body")) for _ in range(50)))
    assert sorted(reply.body for reply in found) == [b"first"] * 40 + [b"second"] * 10
    assert stage.whys == {Why.OK: 50}


class Dear:
    """Somebody whose bytes are dear, and who has always more of them."""

    def __init__(self, stage: Stage) -> None:
        self._turns = stage.worker.turns
        self.count = 0
        self.is_over = False

    def take_turn(self) -> None:
        time.sleep(TURN_S)  # all the time that such have in a turn of the loop
        self.count += 1
        if not self.is_over:
            self._turns.add(self)


async def test_a_reply_does_not_wait_among_clients_whose_bytes_are_dear(stage: Stage) -> None:
    def answer(peer: Peer, asked: Asked) -> None:
        peer.h2.send_headers(asked.stream_id, [(":status", "200")])
        for _ in range(3000):  # more than one turn takes
            peer.h2.send_data(asked.stream_id, bytes(20))
        peer.h2.end_stream(asked.stream_id)

    stage.backend(H2Backend(answer).script)
    await stage.open(protocol="h2c")
    dear = [Dear(stage) for _ in range(100)]
    for each in dear:
        stage.worker.turns.add(each)
    assert (await ask(stage)).body == bytes(60_000)
    for each in dear:
        each.is_over = True
    assert max(each.count for each in dear) < 3
    await until(lambda: not len(stage.worker.turns))


async def test_a_silent_connection_is_not_used_again(stage: Stage) -> None:
    """It may be dead, which TCP finds out late: one request may find that, and no other."""
    played = H2Backend(lambda peer, asked: peer.answer(asked.stream_id) if asked.path == "/answered" else None)
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c", timeouts=Timeouts(read_s=1.1))
    found = [(await ask(stage, get(path))).status for path in ("/answered", "/silent", "/answered")]
    assert found == [200, 504, 200]
    assert len(backend.wires) == 2


async def test_a_refused_request_goes_to_another_backend_whatever_its_method(stage: Stage) -> None:
    refusing = H2Backend(lambda peer, asked: peer.h2.reset_stream(asked.stream_id, REFUSED_STREAM))
    first = stage.backend(refusing.script)
    second = stage.backend(replies(b"other").script)
    await stage.open(protocol="h2c", retry=Retry(enabled=False))
    assert (await ask(stage, post(b"body"))).body == b"other"
    assert stage.whys == {Why.OK: 1}
    assert stage.count(first, counters.FAILURES) == 0
    assert len(second.wires) == 1


async def test_refusals_have_an_end(stage: Stage) -> None:
    refusing = H2Backend(lambda peer, asked: peer.h2.reset_stream(asked.stream_id, REFUSED_STREAM))
    backend = stage.backend(refusing.script)
    await stage.open(protocol="h2c")
    assert (await ask(stage)).status == 503
    assert stage.whys == {Why.STREAM_REFUSED: 1}
    assert 2 <= len(refusing.asked) <= 6
    assert stage.count(backend, counters.FAILURES) == 0


async def test_a_body_that_is_not_kept_can_not_be_sent_again(stage: Stage) -> None:
    def answer(peer: Peer, asked: Asked) -> None:
        peer.h2.reset_stream(asked.stream_id, REFUSED_STREAM)

    refusing = H2Backend(answer)
    stage.backend(refusing.script)
    await stage.open(protocol="h2c")
    assert (await ask(stage, post(bytes(200_000)))).status == 503
    assert stage.whys == {Why.STREAM_REFUSED: 1}
    assert len(refusing.asked) == 1


async def test_a_connection_that_dies_fails_those_on_it(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        peer = Peer(wire, {})
        peer.h2.initiate_connection()
        await peer.flush()
        while sum(asked.is_whole for asked in peer.asked.values()) < 10:
            await peer.events()
        wire.reset()

    stage.backend(script)
    await stage.open(protocol="h2c")
    found = await asyncio.gather(*(ask(stage, post(b"x")) for _ in range(10)))
    assert {reply.status for reply in found} == {502}
    ends = stage.whys  # those that came when the connection was there already count as reuses
    assert ends.pop(Why.RESET_BEFORE_RESPONSE) + ends.pop(Why.RESET_ON_REUSE, 0) == 10
    assert not ends


async def test_a_reused_connection_that_dies_at_a_request_is_replaced(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        if wire.number:
            await played.script(wire)
            return
        peer = Peer(wire, {})
        peer.h2.initiate_connection()
        await peer.flush()
        while not (whole := [asked for asked in peer.asked.values() if asked.is_whole]):
            await peer.events()
        peer.answer(whole[0].stream_id)
        await peer.flush()
        while len(peer.asked) < 2:
            await peer.events()
        wire.reset()

    played = replies()
    backend = stage.backend(script)
    await stage.open(protocol="h2c")
    assert (await ask(stage)).status == 200
    assert (await ask(stage)).status == 200
    assert len(backend.wires) == 2
    assert stage.whys == {Why.OK: 2}


async def test_garbage_is_a_bad_response(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.some()
        await wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await wire.has_ended()

    stage.backend(script)
    await stage.open(protocol="h2c")
    assert (await ask(stage)).status == 502
    assert stage.whys == {Why.BAD_RESPONSE: 1}


async def test_a_connection_that_has_used_up_its_streams_is_replaced(stage: Stage) -> None:
    """Numbers are never used again (RFC 9113 section 5.1.1): after 2^30 requests there are none."""
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    await ask(stage)
    (connection,) = stage.of(backend).idle
    assert isinstance(connection, UpstreamConnection)
    connection.session._ids.next = frames.LAST_STREAM_ID
    for _ in range(3):
        assert (await ask(stage)).status == 200
    assert [list(peer.asked) for peer in played.peers] == [[1, frames.LAST_STREAM_ID], [1, 3]]
    await until(lambda: played.peers[0].terminated == 0)
    assert stage.whys == {Why.OK: 4}


async def test_a_parked_connection_that_says_goaway_is_left(stage: Stage) -> None:
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    await ask(stage)
    played.peers[0].h2.close_connection(ErrorCodes.NO_ERROR)
    await played.peers[0].flush()
    await until(lambda: not stage.of(backend).idle)
    assert (await ask(stage)).status == 200
    assert len(backend.wires) == 2
    assert stage.whys == {Why.OK: 2}


async def test_a_drain_closes_with_goaway(stage: Stage) -> None:
    played = replies()
    backend = stage.backend(played.script)
    await stage.open(protocol="h2c")
    await ask(stage)
    stage.listener_server.set_ready(stage.of(backend).slot, is_ready=False)
    await until(lambda: played.peers[0].terminated == 0)
    assert not stage.of(backend).idle
