"""A connection of HTTP/2: turns, bounds, what ends it, and that its end loses no request."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import socket
import time
from dataclasses import replace

import pytest
from http2_client import Http2Client, Reply, connect
from rawclient import Message, Wire, get, ok
from scripts import never
from stage import Stage, serve, until

from balance.config.model import Config, Http2, HttpConfig, Timeouts
from balance.http2 import frames
from balance.http2.errors import ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM
from balance.http2.frame_reader import HEADS_AT_ONCE
from balance.http2.frames import LAST_STREAM_ID, PREFACE
from balance.http2.hpack.field_encoder import encode
from balance.http2.session import Session
from balance.model import Why
from balance.proxy.http2 import client_connection
from balance.proxy.http2.client_connection import LINGER_S, MOST_UNSENT, ClientConnection, lifetime_s
from balance.proxy.http2.client_stream import ClientStream
from balance.proxy.net.timer_wheel import NEVER
from balance.runtime import counters

H2C = HttpConfig(h2c=True)


def only(stage: Stage) -> ClientConnection:
    (connection,) = stage.worker.connections
    assert isinstance(connection, ClientConnection)
    return connection


async def slow(wire: Wire) -> None:
    """Answers a request for /slow when its target comes again in another one."""
    while (request := await wire.request()) is not None:
        if request.target == "/slow":
            await asyncio.sleep(0.3)
        await wire.send(ok(request.target.encode()))


async def begun(stage: Stage, *paths: str) -> tuple[Http2Client, list[int]]:
    """A client whose requests are with the backend."""
    client = await connect(stage)
    streams = [await client.request(path) for path in paths]
    await until(lambda: stage.active == len(paths))
    return client, streams


# --- turns ----------------------------------------------------------------------------------------------------


async def test_more_frames_than_a_turn_takes_are_read_in_later_ones(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    await client.wire.send(frames.ping(b"12345678", is_ack=False) * 700)
    stream = await client.request()
    assert (await client.reply(stream)).status == 200


async def test_who_has_offended_is_read_in_the_turns_that_all_of_his_kind_share(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    assert (await client.reply(await client.request())).status == 200
    connection, turns = only(stage), stage.worker.turns
    connection.data_received(frames.ping(b"12345678", is_ack=False))
    assert len(turns) == 0
    await client.wire.send(frames.ping(b"12345678", is_ack=False) * 150)
    await until(lambda: connection.session.offences.is_suspect(time.monotonic()) and not len(turns))
    connection.data_received(frames.ping(b"12345678", is_ack=False))
    assert len(turns) == 1
    assert (await client.reply(await client.request())).status == 200
    assert (len(turns), connection.session.offences.is_suspect(time.monotonic() + 10)) == (0, False)


async def offended(stage: Stage, client: Http2Client) -> None:
    """The client has, and is suspect for some seconds."""
    assert (await client.reply(await client.request())).status == 200
    await client.wire.send(frames.ping(b"12345678", is_ack=False) * 150)
    offences = only(stage).session.offences
    await until(lambda: offences.is_suspect(time.monotonic()) and not len(stage.worker.turns))


@pytest.mark.parametrize("has_offended", [False, True])
async def test_what_is_reset_as_soon_as_it_is_asked_for_reaches_no_backend(stage: Stage, has_offended: bool) -> None:
    asked: list[tuple[str, bytes]] = []

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            asked.append((request.target, bytes(request.body)))
            await wire.send(ok())

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    if has_offended:
        await offended(stage, client)
    else:
        assert (await client.reply(await client.request())).status == 200
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/reset")]
    for _ in range(10):
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, fields, end_stream=True)
        client.h2.reset_stream(stream)
    posted = client.h2.get_next_available_stream_id()
    client.h2.send_headers(posted, [(":method", "POST"), *fields[1:3], (":path", "/posted")])
    client.h2.send_data(posted, b"content", end_stream=True)
    await client.wire.send(client.h2.data_to_send())
    assert (await client.reply(posted)).status == 200
    assert (await client.reply(await client.request("/after"))).status == 200
    assert asked == [("/", b""), ("/posted", b"content"), ("/after", b"")]


@pytest.mark.parametrize("has_offended", [False, True])
async def test_what_is_malformed_before_it_begins_is_counted(stage: Stage, has_offended: bool) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    if has_offended:
        await offended(stage, client)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(
        stream, [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")], end_stream=True
    )
    await client.wire.send(client.h2.data_to_send() + frames.window_update(stream, 0))
    await until(lambda: stage.whys.get(Why.BAD_REQUEST) == 1)
    assert (await client.reply(await client.request())).status == 200


async def test_small_content_that_comes_together_goes_on_together(stage: Stage) -> None:
    """Each would be a write to the backend, and work for it."""
    chunks: list[bytes] = []

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok())
        await wire.head()
        while (size := int(await wire.until(b"\r\n"), 16)) > 0:
            chunks.append(await wire.exactly(size))
            await wire.until(b"\r\n")
        await wire.until(b"\r\n")
        await wire.send(ok())

    stage.backend(script)
    await stage.open(http=H2C)
    client = await connect(stage)
    assert (await client.reply(await client.request())).status == 200
    first = client.h2.get_next_available_stream_id()
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")]
    client.h2.send_headers(first, fields)
    for byte in b"abcdef":  # no more than are read before the clock is looked at
        client.h2.send_data(first, bytes([byte]))
    await client.flush()
    await until(lambda: chunks)
    client.h2.send_data(first, b"k", end_stream=True)
    await client.flush()
    assert (await client.reply(first)).status == 200
    assert chunks == [b"abcdef", b"k"]


async def test_content_and_its_reset_in_one_read_leave_nothing(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, [(":method", "POST"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")])
    client.h2.send_data(stream, b"a")
    client.h2.send_data(stream, b"b")
    client.h2.reset_stream(stream)
    await client.flush()
    assert (await client.reply(await client.request("/after"))).status == 200
    assert not only(stage).session.streams
    await until(lambda: stage.active == 0)


async def test_replies_of_one_turn_go_out_in_one_write(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    await client.reply(await client.request())
    writes: list[int] = []
    transport = only(stage).transport

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(transport, name)

        def write(self, data: bytes) -> None:
            writes.append(len(data))
            transport.write(data)

    only(stage).transport = Counting()  # type: ignore[assignment]
    streams = []
    for _ in range(HEADS_AT_ONCE):
        streams.append(client.h2.get_next_available_stream_id())
        client.h2.send_headers(
            streams[-1],
            [(b":method", b"TRACE"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")],
            end_stream=True,
        )
    await client.flush()
    for stream in streams:
        assert (await client.reply(stream)).status == 405
    assert len(writes) == 1


# --- what ends it -----------------------------------------------------------------------------------------------


def head_of(stream: int) -> bytes:
    """A request that has no content to hold back in its reply."""
    fields = [(b":method", b"HEAD"), (b":scheme", b"http"), (b":authority", b"a.example"), (b":path", b"/")]
    return frames.headers(stream, encode(fields), 16_384, ends=True)


async def test_who_does_not_read_replies_of_heads_alone_is_read_from_no_more(stage: Stage) -> None:
    """No window holds heads back, and each frees its stream's place: they would fill the memory."""
    size, first = 8_000, 3
    stage.backend(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Large: begin" + b"x" * size + b"\r\n\r\n"))
    await stage.open(http=H2C)
    client, other = await connect(stage), await connect(stage)
    connections = set(stage.worker.connections)
    assert (await other.reply(await other.request(method="HEAD"))).status == 200
    (connection,) = (each for each in connections if isinstance(each, ClientConnection) and not each.session.last_id)
    transport = connection.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    client.wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)

    async def ask() -> None:
        nonlocal first
        await client.wire.send(b"".join(head_of(first + 2 * number) for number in range(10)))
        first += 20
        for _ in range(10):
            assert (await other.reply(await other.request(method="HEAD"))).status == 200

    while transport.get_write_buffer_size() <= MOST_UNSENT:
        await ask()
    for _ in range(9):
        await ask()
    assert transport.get_write_buffer_size() < MOST_UNSENT + 40 * size
    asked, data = first // 2 - 1, b""
    while data.count(b"begin") < asked:
        more = await client.wire.some(1 << 20)
        assert more
        data += more


async def test_idle_connection_ends_after_keepalive_in_two_steps(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C, timeouts=Timeouts(keepalive_s=0.2))
    client = await connect(stage)
    await client.reply(await client.request())
    await client.over()
    assert client.goaways == [(NO_ERROR, LAST_STREAM_ID), (NO_ERROR, 1)]


async def test_pings_do_not_keep_it(stage: Stage) -> None:
    await stage.open(http=H2C, timeouts=Timeouts(keepalive_s=0.3))
    client = await connect(stage)

    async def ping() -> None:
        while True:
            client.h2.ping(b"12345678")
            await client.flush()
            await asyncio.sleep(0.05)

    pinging = asyncio.ensure_future(ping())
    await client.over()
    pinging.cancel()
    assert client.goaways


async def test_client_that_ends_aborts_its_requests(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C)
    client, _ = await begun(stage, "/1", "/2")
    client.wire.close()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 2}


async def test_reset_of_the_connection_aborts_its_requests(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C)
    client, _ = await begun(stage, "/1", "/2")
    client.wire.reset()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 2}


async def test_client_that_goes_is_closed_when_its_streams_are_done(stage: Stage) -> None:
    stage.backend(slow)
    await stage.open(http=H2C)
    client, (stream,) = await begun(stage, "/slow")
    await client.wire.send(frames.goaway(0, NO_ERROR))
    assert (await client.reply(stream)).body == b"/slow"
    await client.over()


@pytest.mark.parametrize(
    ("frame", "code", "why"),
    [
        (b"\0\0\0\0\0\0\0\0\0", PROTOCOL_ERROR, Why.HTTP2_ERROR),  # DATA of no stream
        (frames.ping(b"12345678", is_ack=False) * 1100, ENHANCE_YOUR_CALM, Why.HTTP2_FLOOD),
    ],
)
async def test_fault_ends_connection_and_is_named(
    stage: Stage, caplog: pytest.LogCaptureFixture, frame: bytes, code: int, why: Why
) -> None:
    caplog.set_level(logging.WARNING, "balance.worker")
    stage.backend(never)
    await stage.open(http=H2C)
    client, _ = await begun(stage, "/1")
    await client.wire.send(frame)
    await client.over()
    assert client.goaways[-1] == (code, 1)
    assert stage.whys == {why: 1, Why.CLIENT_ABORT: 1}
    (said,) = caplog.messages
    assert "listener main: the HTTP/2 connection of 127.0.0.1 is ended: " in said
    assert ("PING" in said) is (why is Why.HTTP2_FLOOD)


async def test_so_many_streams_as_are_configured(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=replace(H2C, http2=Http2(max_concurrent_streams=2)))
    client, _ = await begun(stage, "/1", "/2")
    client.h2.remote_settings.update({3: 100})
    client.h2.remote_settings.acknowledge()
    assert (await client.reply(await client.request("/3"))).reset == REFUSED_STREAM
    assert client.settings[3] == 2
    client.wire.close()


async def test_so_many_offences_as_are_configured(stage: Stage) -> None:
    await stage.open(http=replace(H2C, http2=Http2(flood_limit=100)))
    client = await connect(stage)
    await client.wire.send(frames.ping(b"12345678", is_ack=False) * 120)
    await client.over()
    assert client.goaways[-1][0] == ENHANCE_YOUR_CALM
    assert stage.whys == {Why.HTTP2_FLOOD: 1}


async def test_each_kind_of_flood_is_named_in_the_log(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "balance.worker")
    await stage.open(http=replace(H2C, http2=Http2(flood_limit=100)))
    for flood in (frames.ping(b"12345678", is_ack=False), frames.settings([])):
        for _ in range(2):  # the second of a kind is only counted
            client = await connect(stage)
            await client.wire.send(flood * 120)
            await client.over()
    assert [message.rpartition(": ")[2] for message in caplog.messages] == ["too many of PING", "too many of SETTINGS"]


async def test_many_offences_end_it_by_goaway_and_lose_nothing(stage: Stage) -> None:
    stage.backend(slow)
    await stage.open(http=H2C)
    client, (stream,) = await begun(stage, "/slow")
    await client.wire.send(frames.ping(b"12345678", is_ack=False) * 800)
    assert (await client.reply(stream)).body == b"/slow"
    await client.over()
    assert client.goaways == [(NO_ERROR, LAST_STREAM_ID), (NO_ERROR, 1)]


# --- drains -----------------------------------------------------------------------------------------------------


async def test_drain_serves_what_is_under_way_and_what_crosses_the_first_goaway(stage: Stage) -> None:
    stage.backend(slow)
    await stage.open(http=H2C)
    client, (first,) = await begun(stage, "/slow")
    draining = asyncio.ensure_future(stage.listener_server.drain(30.0))
    await until(lambda: only(stage).session.is_leaving)
    crossing = await client.request("/crossing")
    assert (await client.reply(crossing)).body == b"/crossing"
    assert (await client.reply(first)).body == b"/slow"
    await client.over()
    client.wire.close()
    assert await draining == 0


async def test_client_that_does_not_answer_the_ping_is_told_the_last_stream_all_the_same(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    await client.reply(await client.request())
    draining = asyncio.ensure_future(stage.listener_server.drain(30.0))
    data = b""
    while more := await client.wire.some():
        data += more
    assert data.endswith(frames.goaway(1, NO_ERROR))
    client.wire.close()
    assert await draining == 0


async def test_end_of_a_drain_answers_503(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C)
    client, (stream,) = await begun(stage, "/slow")
    draining = asyncio.ensure_future(stage.listener_server.drain(0.5))
    assert (await client.reply(stream)).status == 503
    assert await draining == 1
    assert stage.whys == {Why.DRAINING: 1}


async def test_reload_counts_from_the_next_stream_on(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    assert (await client.reply(await client.request("/x", (b"x-a", b"1")))).status == 200
    http = replace(H2C, limits=replace(H2C.limits, line_bytes=64))
    await stage.reload(with_http(stage, http))
    assert (await client.reply(await client.request("/" + "x" * 100))).status == 414
    assert not client.goaways


def with_http(stage: Stage, http: HttpConfig) -> Config:
    config = stage.snapshot.config
    return replace(config, listeners=(replace(config.listeners[0], http=http),))


async def test_listener_that_goes_ends_its_connections_with_their_next_stream(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    assert (await client.reply(await client.request())).status == 200
    await stage.reload(replace(stage.snapshot.config, listeners=()), sockets=[])
    assert (await client.reply(await client.request())).status == 200
    await client.over()
    assert client.goaways == [(NO_ERROR, LAST_STREAM_ID), (NO_ERROR, 3)]


@pytest.mark.pure
async def test_burst_of_requests_is_over_before_their_client_is_told_to_go(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chromium fails a request when the GOAWAY comes between the choice of its connection and the begin of its stream."""
    monkeypatch.setattr(client_connection, "QUIET_S", 600.0)
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    await client.reply(await client.request())
    await stage.reload(replace(stage.snapshot.config, listeners=()), sockets=[])
    for stream in [await client.request() for _ in range(6)]:
        assert (await client.reply(stream)).status == 200
    client.h2.ping(b"12345678")
    await client.flush()
    await client.read()
    assert not client.goaways
    only(stage).expire(NEVER)  # as after that long without another
    await client.over()
    assert client.goaways == [(NO_ERROR, LAST_STREAM_ID), (NO_ERROR, 13)]


async def test_client_that_asks_without_end_is_told_to_go_behind_a_reply(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    client = await connect(stage)
    await client.reply(await client.request())
    await stage.reload(replace(stage.snapshot.config, listeners=()), sockets=[])
    while not client.goaways:
        assert (await client.reply(await client.request())).status == 200
    await client.over()
    assert len(client.goaways) == 2


async def test_stream_without_end_does_not_keep_its_client_from_being_told_to_go(stage: Stage) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if request.target == "/held":
                await go.wait()
            await wire.send(ok(request.target.encode()))

    stage.backend(script)
    await stage.open(http=H2C)
    client, (held,) = await begun(stage, "/held")
    await stage.reload(replace(stage.snapshot.config, listeners=()), sockets=[])
    other = await client.request("/other")
    while len(client.goaways) < 2:
        await client.read()
    go.set()
    assert (await client.reply(held)).body == b"/held"
    await client.over()
    assert client.goaways == [(NO_ERROR, LAST_STREAM_ID), (NO_ERROR, other)]


async def test_idle_one_makes_room_for_others(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=H2C)
    config = stage.snapshot.config
    await stage.reload(replace(config, listeners=(replace(config.listeners[0], max_clients=1),)))
    first = await connect(stage)
    await first.reply(await first.request())
    second = await connect(stage)
    stream = await second.request()
    assert (await second.reply(stream)).status == 200
    await first.over()
    assert first.goaways == [(NO_ERROR, 1)]


# --- who asks ---------------------------------------------------------------------------------------------------


async def test_client_of_a_trusted_proxy_is_the_one_that_it_names(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open(http=H2C, trusted=(ipaddress.ip_network("127.0.0.0/8"),))
    client = await connect(stage)
    await client.reply(await client.request("/", (b"x-forwarded-for", b"192.0.2.7")))
    assert [request.get("x-forwarded-for") for request in seen] == ["192.0.2.7, 127.0.0.1"]


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_via_says_by_which_protocol_a_request_came(stage: Stage, is_trusted: bool) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open(http=replace(H2C, via=True), trusted=(ipaddress.ip_network("127.0.0.0/8"),) if is_trusted else ())
    client = await connect(stage)
    await client.reply(await client.request())
    wire = await stage.client()
    await wire.send(get("/"))
    await wire.reply()
    assert [request.get("via") for request in seen] == ["2.0 balance", "1.1 balance"]


async def test_backends_that_want_a_proxy_header_get_one_for_each_client(stage: Stage) -> None:
    seen: list[bytes] = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.until(b"\r\n"))
        while await wire.request() is not None:
            await wire.send(ok())

    stage.backend(script)
    await stage.open(http=H2C, sends="v1")
    client = await connect(stage)
    port = client.wire.sock.getsockname()[1]
    for _ in range(3):
        assert (await client.reply(await client.request())).status == 200
    assert seen == [f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {stage.address.port}\r\n".encode()]


async def test_blocked_client_is_cut(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=H2C)
    client, _ = await begun(stage, "/1")
    only(stage).cut()
    await client.over()
    assert client.replies.get(1, Reply()).fields


async def test_preface_counts_as_a_connection_and_settings_as_no_request(stage: Stage) -> None:
    await stage.open(http=H2C)
    wire = await stage.client()
    await wire.send(PREFACE + frames.settings([]))
    await until(lambda: stage.cell(counters.CONNECTIONS) == 1)
    assert stage.whys == {}


# --- its age ----------------------------------------------------------------------------------------------------


def old(age_s: float, grace_s: float = 0.0) -> HttpConfig:
    return HttpConfig(h2c=True, http2=Http2(max_connection_age_s=age_s, max_connection_age_grace_s=grace_s))


async def test_an_old_connection_takes_no_new_streams_and_loses_none(stage: Stage) -> None:
    """What crosses the first GOAWAY is served, and so is what takes longer than the connection may."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if request.target == "/slow":
                await go.wait()
            await wire.send(ok(request.target.encode()))

    stage.backend(script)
    await stage.open(http=old(0.2))
    client, (first,) = await begun(stage, "/slow")
    await until(lambda: only(stage).session.is_leaving)
    crossing = await client.request("/crossing")
    assert (await client.reply(crossing)).body == b"/crossing"
    await until(lambda: only(stage).session.is_final)
    go.set()
    assert (await client.reply(first)).body == b"/slow"
    await client.over()
    assert client.goaways == [(NO_ERROR, LAST_STREAM_ID), (NO_ERROR, crossing)]


async def test_the_last_reply_of_a_connection_has_the_time_that_all_have(stage: Stage) -> None:
    """A client that takes it slowly is waited for longer than one that has it all, and does not close."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        await wire.send(ok(bytes(60_000)))

    stage.backend(script)
    await stage.open(http=old(0.2), timeouts=Timeouts(write_s=10.0))
    client = Http2Client(await stage.client(receive_buffer=4096))
    await client.begin()
    await client.request()
    await until(lambda: stage.active == 1)
    connection = only(stage)
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await until(lambda: connection.session.is_final)
    go.set()
    await until(lambda: not connection.session.streams)
    assert connection.transport.get_write_buffer_size()
    await asyncio.sleep(LINGER_S + 0.3)  # a line that stands still for as long as others are waited for
    data = b""
    while more := await client.wire.some():
        data += more
    assert len(data) > 60_000


async def test_streams_of_an_old_connection_are_cut_after_the_grace(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=old(0.1, 1.5))
    client, (stream,) = await begun(stage, "/slow")
    assert (await client.reply(stream)).status == 503
    await client.over()
    assert stage.whys[Why.DRAINING] == 1


async def test_a_deadline_of_the_connection_that_moves_leaves_those_of_its_streams_where_they_are(stage: Stage) -> None:
    """Past its age the connection waits a second for the answer to its PING. A stream's deadline comes before."""
    stage.backend(never)
    await stage.open(http=old(0.2), timeouts=Timeouts(read_s=0.9))
    client, _ = await begun(stage, "/slow")
    while Why.RESPONSE_HEADER_TIMEOUT not in stage.whys:
        assert await client.wire.some()
    assert only(stage).session.is_leaving
    assert not only(stage).session.is_final


async def test_an_idle_connection_ends_when_it_is_old(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=old(0.3))
    client = await connect(stage)
    await client.reply(await client.request())
    await client.over()
    assert client.goaways == [(NO_ERROR, LAST_STREAM_ID), (NO_ERROR, 1)]


def test_connections_that_began_together_do_not_end_together() -> None:
    assert (lifetime_s(100.0, 0.0), lifetime_s(100.0, 0.5), lifetime_s(100.0, 1.0)) == pytest.approx((90, 100, 110))


async def test_what_is_gone_waits_for_no_garbage_collector(stage: Stage) -> None:
    stage.backend(slow)
    await stage.open(http=H2C)
    gc.collect()
    gc.disable()
    try:
        client, (first, _) = await begun(stage, "/slow", "/slow")
        await client.reset(first)
        await client.reply(await client.request("/1"))
        client.wire.close()
        await stage.settled()
        await asyncio.sleep(0)
        kinds = (ClientConnection, ClientStream, Session)
        assert [type(each) for each in gc.get_objects() if isinstance(each, kinds)] == []
    finally:
        gc.enable()
