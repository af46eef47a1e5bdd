"""Bulk bytes that the kernel moves: all of them, in order, to nobody else; ends, resets and slow readers are what they were."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
from collections.abc import Callable, Iterator
from time import monotonic
from typing import cast

import pytest
from polling import is_writable
from rawclient import Wire
from stage import Stage, until

from balance.model import Mode, Why
from balance.proxy.net.polled_transport import PolledTransport
from balance.proxy.net.splice_pipe import SplicePipe
from balance.proxy.net.timer_wheel import TimerWheel
from balance.proxy.net.transport_poll import TransportPoll
from balance.proxy.tcp.bulk_end import BulkEnd
from balance.proxy.tcp.relay import RelayEnd
from balance.proxy.tcp.session import Downstream
from balance.proxy.tunnel.tunnel import TunnelEnd
from balance.proxy.tunnel.websocket import WebSocketEnd
from balance.runtime import counters

MEGABYTE = 1 << 20
DATA = random.Random(7).randbytes(8 * MEGABYTE)

Sockets = tuple[socket.socket, socket.socket]


@pytest.fixture
def pipe() -> Iterator[SplicePipe]:
    made = SplicePipe()
    yield made
    assert not made.is_closed
    made.close()


@pytest.fixture
def pairs() -> Iterator[tuple[Sockets, Sockets]]:
    """From a peer to us, and from us to another peer."""
    made = socket.socketpair(), socket.socketpair()
    for pair in made:
        for each in pair:
            each.setblocking(False)
    yield made
    for pair in made:
        for each in pair:
            each.close()


def test_bytes_that_a_sink_takes_are_moved(pipe: SplicePipe, pairs: tuple[Sockets, Sockets]) -> None:
    (peer, source), (sink, other) = pairs
    peer.send(b"x" * 5000 + b"y" * 5000)
    assert pipe.move(source.fileno(), sink.fileno(), 6000) == (6000, b"", None)
    assert pipe.move(source.fileno(), sink.fileno(), 6000) == (4000, b"", None)
    assert other.recv(20_000) == b"x" * 5000 + b"y" * 5000


def test_nothing_there_is_told_from_the_end(pipe: SplicePipe, pairs: tuple[Sockets, Sockets]) -> None:
    (peer, source), (sink, _) = pairs
    with pytest.raises(BlockingIOError):
        pipe.move(source.fileno(), sink.fileno(), 6000)
    peer.shutdown(socket.SHUT_WR)
    assert pipe.move(source.fileno(), sink.fileno(), 6000) == (0, b"", None)


def fill(sink: socket.socket) -> None:
    try:
        while True:
            sink.send(b"f" * 65_536)
    except BlockingIOError:
        pass


def test_bytes_that_a_full_sink_does_not_take_come_back_and_nobody_else_gets_them(
    pipe: SplicePipe, pairs: tuple[Sockets, Sockets]
) -> None:
    (peer, source), (sink, _) = pairs
    fill(sink)
    peer.send(b"secret" * 1000)
    assert pipe.move(source.fileno(), sink.fileno(), 9000) == (6000, b"secret" * 1000, None)
    peer.send(b"mine")
    here, there = socket.socketpair()
    with here, there:
        assert pipe.move(source.fileno(), here.fileno(), 9000) == (4, b"", None)
        assert there.recv(9000) == b"mine"


def test_bytes_for_a_sink_that_is_gone_come_back_with_its_error(pipe: SplicePipe, pairs: tuple[Sockets, Sockets]) -> None:
    (peer, source), (sink, other) = pairs
    other.close()
    peer.send(b"x" * 100)
    taken, rest, failure = pipe.move(source.fileno(), sink.fileno(), 9000)
    assert (taken, rest, type(failure)) == (100, b"x" * 100, BrokenPipeError)


def splices(stage: Stage) -> list[bool]:
    """Of each session's client."""
    ends = [each for each in stage.worker.connections if isinstance(each, Downstream)]
    return [cast(PolledTransport, each.transport)._sink is not None for each in ends]


async def send_all(wire: Wire, data: bytes, rand: random.Random | None = None) -> None:
    position = 0
    while position < len(data):
        step = rand.choice((1, 4096, 65_536, MEGABYTE)) if rand is not None else MEGABYTE
        await wire.send(data[position : position + step])
        position += step


@pytest.mark.parametrize("seed", range(3))
async def test_bulk_passes_both_ways_at_once_and_is_counted(stage: Stage, seed: int) -> None:
    rand = random.Random(seed)
    got: list[bytes] = []

    async def talk(wire: Wire, data: bytes) -> None:
        async def say() -> None:
            await send_all(wire, data, rand)
            wire.half_close()

        got.append((await asyncio.gather(say(), wire.rest()))[1])

    stage.backend(lambda wire: talk(wire, DATA[::-1]))
    await stage.open(mode=Mode.TCP)
    await talk(await stage.client(), DATA)
    await until(lambda: len(got) == 2)
    assert {hashlib.sha256(each).digest() for each in got} == {hashlib.sha256(each).digest() for each in (DATA, DATA[::-1])}
    await stage.settled()
    assert stage.whys == {Why.OK: 1}
    assert stage.cell(counters.BYTES_IN) == stage.cell(counters.BYTES_OUT) == len(DATA)


async def test_a_reader_that_waits_pauses_the_sender_and_gets_everything(stage: Stage) -> None:
    may_read = asyncio.Event()
    sent = 0
    got = []

    async def reads_late(wire: Wire) -> None:
        await may_read.wait()
        got.append(await wire.rest())

    stage.backend(reads_late)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()

    async def send() -> None:
        nonlocal sent
        for _ in range(8):
            await client.send(DATA)
            sent += 1
        client.half_close()

    sending = asyncio.get_running_loop().create_task(send())
    await until(lambda: stage.worker.connections and any(splices(stage)), "it is bulk")
    (end,) = (each for each in stage.worker.connections if isinstance(each, Downstream))
    await until(lambda: end.is_paused, "the sender is paused")
    assert sent < 8
    assert end.peer is not None
    assert end.peer.get_write_buffer_size() < 2 * MEGABYTE
    may_read.set()
    await sending
    await until(lambda: got, "all is read")
    assert got[0] == DATA * 8


@pytest.mark.parametrize("who", ["client", "backend"])
async def test_a_reset_in_the_middle_is_a_reset_for_the_other(stage: Stage, who: str) -> None:
    ends = []
    is_there = asyncio.Event()

    async def script(wire: Wire) -> None:
        if who == "backend":
            await send_all(wire, DATA)
            is_there.set()
            wire.reset()
            return
        await wire.exactly(MEGABYTE)
        is_there.set()
        while await wire.some(MEGABYTE):
            pass

    async def ended(wire: Wire) -> None:
        try:
            await script(wire)
        except ConnectionResetError:
            ends.append("reset")

    stage.backend(ended)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    if who == "backend":
        assert await client.ending() == "reset"
        assert stage.whys == {Why.RESET_MID_RESPONSE: 1}
        return
    await send_all(client, DATA)
    await is_there.wait()
    client.reset()
    await until(lambda: ends == ["reset"], "the backend has a reset")
    await until(lambda: stage.whys == {Why.CLIENT_ABORT: 1})


async def test_small_talk_is_not_spliced_and_bulk_is(stage: Stage) -> None:
    async def echo(wire: Wire) -> None:
        while data := await wire.some(1 << 18):
            await wire.send(data)

    stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    await client.send(b"ping")
    assert await client.exactly(4) == b"ping"
    assert splices(stage) == [False]
    sending = asyncio.get_running_loop().create_task(send_all(client, DATA))
    assert await client.exactly(len(DATA)) == DATA
    await sending
    assert splices(stage) == [True]
    await client.send(b"ping")  # and it still talks
    assert await client.exactly(4) == b"ping"


async def test_sessions_leave_no_descriptor(stage: Stage) -> None:
    async def echo(wire: Wire) -> None:
        while data := await wire.some(1 << 18):
            await wire.send(data)

    stage.backend(echo)
    await stage.open(mode=Mode.TCP)
    counts = []
    for _ in range(3):
        client = await stage.client()
        sending = asyncio.get_running_loop().create_task(send_all(client, DATA))
        await client.exactly(len(DATA))
        await sending
        client.half_close()
        await client.rest()
        client.close()
        await stage.settled()
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[1] == counts[2]


@pytest.mark.parametrize(
    ("make", "is_spliced"), [(BulkEnd, True), (lambda: TunnelEnd(None), False), (lambda: WebSocketEnd(None), False)]
)
async def test_an_end_whose_bytes_are_followed_is_never_spliced(
    stage: Stage, make: Callable[[], RelayEnd], is_spliced: bool
) -> None:
    """Bulk on two plain connections, where ends of TCP mode have the kernel move it."""
    poll = TransportPoll(stage.loop, TimerWheel(monotonic()))
    ends, far = [make(), make()], []
    for end in ends:
        near, away = socket.socketpair()
        near.setblocking(False)
        poll.accepted(socket.AF_UNIX, near.detach(), end)
        away.setblocking(False)
        far.append(away)
    ends[0].peer, ends[1].peer = ends[1].transport, ends[0].transport
    frames = frame(b"x" * MEGABYTE) * 4
    sending = stage.loop.create_task(stage.loop.sock_sendall(far[0], frames))
    got = b""
    while len(got) < len(frames):
        got += await stage.loop.sock_recv(far[1], MEGABYTE)
    await sending
    assert got == frames
    assert ends[0].bytes_received == len(frames)
    assert (cast(PolledTransport, ends[0].transport)._sink is not None) == is_spliced
    for end, away in zip(ends, far, strict=True):
        end.transport.abort()
        away.close()
    await until(lambda: poll.is_empty)
    poll.close()


def frame(payload: bytes) -> bytes:
    """A WebSocket frame of a server (RFC 6455 section 5.2)."""
    return b"\x82\x7f" + len(payload).to_bytes(8, "big") + payload


async def test_bytes_behind_an_urgent_one_pass_as_well(stage: Stage) -> None:
    """A splice stops before it; a read leaves it out, as it does for everybody who does not ask."""
    got = []

    async def takes(wire: Wire) -> None:
        got.append(await wire.rest())

    stage.backend(takes)
    await stage.open(mode=Mode.TCP)
    client = await stage.client()
    await send_all(client, DATA)
    await until(lambda: splices(stage) == [True], "it is bulk")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, send_urgent, client.sock)
    await send_all(client, DATA)
    client.half_close()
    await until(lambda: got, "all has come")
    assert got[0] == DATA + DATA


def send_urgent(sock: socket.socket) -> None:
    while True:
        try:
            sock.send(b"!", socket.MSG_OOB)
        except BlockingIOError:
            is_writable(sock, 10)
        else:
            return
