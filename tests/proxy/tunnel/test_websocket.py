"""The end of WebSockets at a drain: both peers are told, where a frame may stand, whatever they are doing."""

import asyncio
import json
import os
import struct

import pytest
import websockets
from fakes import FakeTransport
from hypothesis import given, settings
from hypothesis import strategies as st
from observed import Observed
from rawclient import Wire, get
from stage import Stage, until
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from balance.config.model import AccessLog
from balance.model import Address, Why
from balance.proxy.net.timer_wheel import TimerWheel
from balance.proxy.tunnel.websocket import WebSocketEnd, WebSocketRelay
from balance.proxy.worker_context import Drainable

UPGRADE = get("/ws", "Connection: Upgrade", "Upgrade: websocket")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
FROM_BALANCE = b"\x88\x02\x03\xe9"  # Close 1001, unmasked
MASK = b"\x0a\x0b\x0c\x0d"


def frame(payload: bytes, *, opcode: int = 2, fin: int = 1, is_masked: bool = False) -> bytes:
    length = len(payload)
    size = 0 if length < 126 else 2 if length < 1 << 16 else 8
    head = bytes((fin << 7 | opcode, is_masked << 7 | {0: length, 2: 126, 8: 127}[size]))
    return head + (length.to_bytes(size) if size else b"") + (MASK if is_masked else b"") + payload


def is_masked_goodbye(data: bytes) -> bool:
    head, mask, code = data[:2], data[2:6], data[6:]
    return head == b"\x88\x82" and struct.pack("!H", 1001) == bytes(a ^ b for a, b in zip(code, mask, strict=False))


def draining(stage: Stage, seconds: float) -> asyncio.Task[int]:
    return asyncio.get_running_loop().create_task(stage.listener_server.drain(seconds))


# --- with a library at both ends ---------------------------------------------------------------------------------


async def closed(connection: ClientConnection) -> None:
    """Read until the other side says Close."""
    with pytest.raises(websockets.ConnectionClosed):
        while True:
            await connection.recv()


async def test_both_peers_are_told_and_nothing_is_cut(stage: Stage) -> None:
    told: list[int | None] = []

    async def talk(connection: ServerConnection) -> None:
        await connection.wait_closed()
        told.append(connection.close_code)

    async with serve(talk, "127.0.0.1", 0) as server:
        log = stage.folder / "access.log"
        await stage.open(
            Address("127.0.0.1", next(iter(server.sockets)).getsockname()[1]), access=AccessLog(enabled=True, output=str(log))
        )
        clients = [await connect(f"ws://127.0.0.1:{stage.address.port}/") for _ in range(20)]
        assert await draining(stage, 1.0) == 0
        for client in clients:
            await closed(client)
            assert client.close_code == 1001
        await until(lambda: len(told) == 20)
        assert set(told) == {1001}
        tunnels = [line for line in map(json.loads, log.read_text().splitlines()) if line["method"] == "TUNNEL"]
        assert [line["why"] for line in tunnels] == ["draining"] * 20


@pytest.mark.parametrize("size", [10, 60_000, 2_000_000])
async def test_message_that_has_begun_arrives_whole_and_then_the_close(stage: Stage, size: int) -> None:
    sent: list[bytes] = []

    async def talk(connection: ServerConnection) -> None:
        while True:
            sent.append(os.urandom(size))
            await connection.send(sent[-1])
            await connection.recv()

    async with serve(talk, "127.0.0.1", 0, max_size=None, compression=None) as server:
        await stage.open(Address("127.0.0.1", next(iter(server.sockets)).getsockname()[1]))
        async with connect(f"ws://127.0.0.1:{stage.address.port}/", max_size=None, compression=None) as client:
            end = draining(stage, 2.0)
            received = []
            with pytest.raises(websockets.ConnectionClosed):
                while True:
                    received.append(await client.recv())
                    await client.send("more")
            assert client.close_code == 1001
            assert received
            assert received == sent[: len(received)]
        assert await end == 0


async def test_compressed_messages_are_frames_as_well(stage: Stage) -> None:
    async def talk(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(talk, "127.0.0.1", 0, compression="deflate") as server:
        await stage.open(Address("127.0.0.1", next(iter(server.sockets)).getsockname()[1]))
        async with connect(f"ws://127.0.0.1:{stage.address.port}/", compression="deflate") as client:
            await client.send("a" * 10_000)
            assert await client.recv() == "a" * 10_000
            end = draining(stage, 0.5)
            await closed(client)
            assert client.close_code == 1001
        assert await end == 0


# --- byte by byte ------------------------------------------------------------------------------------------------


class Ends:
    """A client and a backend that are joined by a 101, each to do what the test says."""

    def __init__(self, client: Wire, backend: Wire) -> None:
        self.client, self.backend = client, backend


async def joined(stage: Stage) -> Ends:
    wires: list[Wire] = []
    over = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCHING)
        wires.append(wire)
        await over.wait()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(UPGRADE)
    await client.head()
    await until(lambda: wires)
    stage.loop.call_later(6.0, over.set)
    return Ends(client, wires[0])


async def test_frame_of_a_client_that_comes_byte_by_byte_is_ended_before_the_backend_is_told(stage: Stage) -> None:
    ends = await joined(stage)
    data = frame(b"a long story", is_masked=True)
    for index in range(5):
        await ends.client.send(data[index : index + 1])
    end = draining(stage, 2.0)
    assert await ends.client.exactly(4) == FROM_BALANCE  # the other direction stands between frames
    for index in range(5, len(data)):
        await ends.client.send(data[index : index + 1])
    await ends.client.send(frame(b"too late", is_masked=True))
    assert await ends.backend.exactly(len(data)) == data
    assert is_masked_goodbye(await ends.backend.exactly(8))
    await ends.backend.send(frame(b"too late") + FROM_BALANCE)
    assert await ends.backend.ending() == "eof"
    ends.client.half_close()
    assert await ends.client.ending() == "eof"
    assert await end == 0


async def test_frame_of_a_backend_that_comes_byte_by_byte_is_ended_before_the_client_is_told(stage: Stage) -> None:
    ends = await joined(stage)
    data = frame(b"x" * 70_000)
    await ends.backend.send(data[:1])
    await until(lambda: stage.worker.connections)
    assert await ends.client.exactly(1) == data[:1]
    end = draining(stage, 2.0)
    assert is_masked_goodbye(await ends.backend.exactly(8))
    for index in range(1, 20):
        await ends.backend.send(data[index : index + 1])
    await ends.backend.send(data[20:] + frame(b"too late"))
    assert await ends.client.exactly(len(data) - 1) == data[1:]
    assert await ends.client.exactly(4) == FROM_BALANCE
    await ends.client.send(frame(b"\x03\xe9", opcode=8, is_masked=True))
    assert await ends.client.ending() == "eof"
    ends.backend.close()
    assert await end == 0


async def test_frames_that_came_with_the_switch_count(stage: Stage) -> None:
    theirs, mine = frame(b"server first"), frame(b"client first", is_masked=True)

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(SWITCHING + theirs[:5])
        assert await wire.exactly(7) == mine[:7]
        with pytest.raises(ConnectionResetError):
            await wire.some()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    client.send_now(UPGRADE + mine[:7])
    await client.head()
    assert await client.exactly(5) == theirs[:5]
    end = draining(stage, 0.8)
    with pytest.raises(ConnectionResetError):  # and no Close in the middle of a frame
        await client.some()
    assert await end == 1


async def test_control_frame_stands_between_the_fragments_of_a_message(stage: Stage) -> None:
    ends = await joined(stage)
    fragment = frame(b"first of many", opcode=1, fin=0)
    await ends.backend.send(fragment)
    assert await ends.client.exactly(len(fragment)) == fragment
    end = draining(stage, 0.8)
    assert await ends.client.exactly(4) == FROM_BALANCE
    ends.client.close()
    ends.backend.close()
    assert await end == 0


async def test_peer_that_never_ends_its_frame_or_never_answers_is_cut(stage: Stage) -> None:
    ends = await joined(stage)
    begun = frame(b"x" * 1000, is_masked=True)[:500]
    await ends.client.send(begun)
    assert await ends.backend.exactly(len(begun)) == begun
    assert await draining(stage, 0.4) == 1
    with pytest.raises(ConnectionResetError):
        assert await ends.client.exactly(4) == FROM_BALANCE
        await ends.client.rest()
    with pytest.raises(ConnectionResetError):
        await ends.backend.rest()


@pytest.mark.parametrize("how", ["half_close", "reset"])
async def test_client_that_leaves_in_the_middle_of_a_frame_resets_the_backend(stage: Stage, how: str) -> None:
    ends = await joined(stage)
    begun = frame(b"x" * 1000, is_masked=True)[:500]
    await ends.client.send(begun)
    await ends.backend.exactly(len(begun))
    end = draining(stage, 2.0)
    assert await ends.client.exactly(4) == FROM_BALANCE
    getattr(ends.client, how)()
    assert await ends.backend.ending() == "reset"
    if how == "half_close":
        assert await ends.client.ending() == "eof"
    assert await end == 0


async def test_whoever_breaks_the_rules_passes_as_before_and_is_cut(stage: Stage) -> None:
    ends = await joined(stage)
    await ends.client.send(b"this is no frame")
    assert await ends.backend.exactly(16) == b"this is no frame"
    end = draining(stage, 0.8)
    assert await ends.client.exactly(4) == FROM_BALANCE
    await ends.client.send(b"nor is this")
    assert await ends.backend.exactly(11) == b"nor is this"
    assert await ends.backend.ending() == "reset"
    assert await end == 1


async def test_close_that_has_passed_is_not_said_twice(stage: Stage) -> None:
    ends = await joined(stage)
    close = frame(b"\x03\xe8", opcode=8)
    await ends.backend.send(close)
    assert await ends.client.exactly(4) == close
    end = draining(stage, 0.8)
    assert is_masked_goodbye(await ends.backend.exactly(8))  # an answer to its Close
    assert await ends.backend.ending() == "eof"
    ends.client.half_close()
    assert await ends.client.ending() == "eof"  # and no second Close before it
    assert await end == 0


async def test_drain_waits_for_the_backends_answer(stage: Stage) -> None:
    ends = await joined(stage)
    end = draining(stage, 2.0)
    assert await ends.client.exactly(4) == FROM_BALANCE
    ends.client.close()
    assert is_masked_goodbye(await ends.backend.exactly(8))
    await until(lambda: stage.of(stage.backends[0]).open_count and not end.done())
    await asyncio.sleep(0.2)
    assert not end.done()
    await ends.backend.send(frame(b"last words") + FROM_BALANCE)
    assert await ends.backend.ending() == "eof"
    assert await end == 0


async def test_backend_that_floods_a_client_that_does_not_read_is_not_held_in_memory(stage: Stage) -> None:
    ends = await joined(stage)

    async def flood() -> None:
        while True:
            await ends.backend.send(frame(os.urandom(50_000)))

    flooding = asyncio.get_running_loop().create_task(flood())
    await until(lambda: stage.buffered > 60_000)
    end = draining(stage, 1.0)
    peak = 0
    while not end.done():
        peak = max(peak, stage.buffered)
        await asyncio.sleep(0.005)
    flooding.cancel()
    assert await end == 1
    assert 60_000 < peak < 64 * 1024 + 3 * 256 * 1024


# --- what one end does, the other sees ---------------------------------------------------------------------------


class Pair:
    """A relay between two fake transports."""

    def __init__(self) -> None:
        self.connections: set[Drainable] = set()
        self.client, self.upstream = FakeTransport(), FakeTransport()
        self.ends = WebSocketEnd(self.connections), WebSocketEnd(None)
        for end, transport in zip(self.ends, (self.client, self.upstream), strict=True):
            transport.protocol = end
            end.connection_made(transport)
        self.account = Observed()
        WebSocketRelay(*self.ends, TimerWheel(0.0), 60.0, 0.0, self.account, 0.0)

    def announce_close(self) -> None:
        for connection in list(self.connections):
            connection.announce_close()


def test_peer_that_is_not_passed_on_any_more_is_read_although_the_other_does_not_read() -> None:
    pair = Pair()
    pair.client.takes_all = False
    pair.ends[1].data_received(frame(bytes(70_000)))
    assert not pair.upstream.is_reading_now
    pair.announce_close()
    assert pair.upstream.is_reading_now
    pair.ends[0].pause_writing()
    assert pair.upstream.is_reading_now
    pair.ends[1].data_received(FROM_BALANCE)
    assert pair.upstream.ends == ["close"]


def test_close_right_behind_the_frame_that_was_waited_for_is_an_answer() -> None:
    pair = Pair()
    data = frame(b"x" * 10, is_masked=True)
    pair.ends[0].data_received(data[:5])
    pair.announce_close()
    pair.ends[0].data_received(data[5:] + frame(b"\x03\xe9", opcode=8, is_masked=True))
    assert pair.upstream.written[: len(data)] == data
    assert is_masked_goodbye(pair.upstream.written[len(data) :])
    assert pair.client.ends == ["close"]


@pytest.mark.parametrize("how", ["lost", "both ended"])
def test_what_ends_already_ends_as_it_would_have(how: str) -> None:
    pair = Pair()
    if how == "lost":
        pair.client.lose(ConnectionResetError())
    else:
        for end in pair.ends:
            end.eof_received()
        written = pair.client.written + pair.upstream.written
        pair.announce_close()
        assert pair.client.written + pair.upstream.written == written == b""
        pair.client.lose()
    pair.ends[0].announce_close()
    pair.upstream.lose()
    assert pair.account.whys == [Why.CLIENT_ABORT if how == "lost" else Why.OK]
    assert not pair.connections


# --- any frames, cut anywhere, a close announced at any moment ----------------------------------------------------------

CHUNKS = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60)
PAYLOADS = st.lists(st.one_of(st.binary(max_size=10), st.sampled_from([125, 126, 130]).map(bytes)), max_size=6)


@settings(max_examples=300)
@given(PAYLOADS, PAYLOADS, CHUNKS, st.integers(0, 60))
def test_each_peer_gets_whole_frames_then_one_close_then_nothing(
    from_client: list[bytes], from_upstream: list[bytes], chunks: list[tuple[bool, int]], moment: int
) -> None:
    pair = Pair()
    transports, ends = (pair.client, pair.upstream), pair.ends
    frames = [frame(p, is_masked=True) for p in from_client], [frame(p) for p in from_upstream]
    streams = [b"".join(those) for those in frames]
    said = [b"", b""]
    for number, (is_upstream, size) in enumerate(chunks):
        if number == moment:
            ends[0].announce_close()
        chunk = streams[is_upstream][:size]
        streams[is_upstream] = streams[is_upstream][size:]
        if chunk:
            said[is_upstream] += chunk
            ends[is_upstream].data_received(chunk)
    ends[0].announce_close()
    for side in (0, 1):
        got = transports[1 - side].written
        places = [len(b"".join(frames[side][:count])) for count in range(len(frames[side]) + 1)]
        if len(got) > len(said[side]) or got != said[side][: len(got)]:  # the Close is in it
            goodbye = got[-4:] if side else got[-8:]
            passed = got[: -len(goodbye)]
            assert goodbye == FROM_BALANCE if side else is_masked_goodbye(goodbye)
            assert passed == said[side][: len(passed)]
            assert len(passed) in places
        else:
            assert got == said[side]
            assert len(got) not in places  # in the middle of a frame: nothing may be said yet
    for transport in transports:
        transport.lose()
    assert pair.account.whys == [Why.DRAINING]
    assert not pair.connections
