"""One request and its reply: what passes, what each side is told when the other breaks, and who is to blame for it."""

import asyncio
import json

import pytest
from polling import is_readable
from rawclient import Ended, Message, Wire, chunked, get, ok, post
from scripts import CHUNKED, ask, failures, says, says_and_resets, says_and_waits
from stage import Script, Stage, serve, until

from balance.config.model import CircuitBreaker, HttpConfig, Timeouts
from balance.health.circuit_breaker import STATE, BreakerState
from balance.model import Why
from balance.proxy.buffering.upload import REPLAY_LIMIT
from balance.proxy.http.exchange.exchange_state import ENDED, TRANSITIONS, ExchangeState
from balance.runtime import counters

# --- where it is ------------------------------------------------------------------------------------------


def test_every_state_leads_to_the_end_and_none_leads_on_from_there() -> None:
    """That exchanges keep to the table is held in every test that has a stage."""
    assert set(TRANSITIONS) == set(ExchangeState)
    assert all(ENDED in TRANSITIONS[state] for state in ExchangeState if state is not ENDED)
    assert not TRANSITIONS[ENDED]


# --- what passes ------------------------------------------------------------------------------------------


async def test_each_request_of_a_connection_is_balanced_on_its_own(stage: Stage) -> None:
    for name in (b"1", b"2", b"3"):
        stage.backend(serve(ok(name)))
    await stage.open()
    client = await stage.client()
    seen = []
    for _ in range(6):
        await client.send(get())
        seen.append((await client.reply()).body)
    assert seen == [b"1", b"2", b"3"] * 2


@pytest.mark.parametrize("size", [0, 1, 1000, 70_000, 3_000_000])
@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_bodies_of_any_size_pass_both_ways(stage: Stage, size: int, way: str) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]

    def answer(request: Message) -> bytes:
        assert request.body == body
        if way == "chunks":
            parts = [body[at : at + 50_000] for at in range(0, size, 50_000)]
            return CHUNKED + chunked(*parts)
        return ok(body)

    stage.backend(serve(answer))
    await stage.open()
    client = await stage.client()
    request = post(body)
    if way == "chunks":
        parts = [body[at : at + 9999] for at in range(0, size, 9999)]
        request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*parts)
    for _ in range(2):
        sending = asyncio.get_running_loop().create_task(client.send(request))
        assert (await client.reply()).body == body
        await sending
    assert len(stage.backends[0].wires) == 1


async def test_trailers_pass_both_ways(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return CHUNKED + chunked(b"reply", trailers=b"X-Sum: 2\r\nSet-Cookie: a=b\r\n")

    stage.backend(serve(answer))
    await stage.open()
    request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = await ask(stage, request + chunked(b"question", trailers=b"X-Sum: 1\r\nHost: evil\r\n"))
    assert (reply.body, reply.trailers) == (b"reply", [("X-Sum", "2")])
    assert (seen[0].body, seen[0].trailers) == (b"question", [("X-Sum", "1")])


async def test_upload_and_download_may_flow_at_once(stage: Stage) -> None:
    """The reply begins before the request has ended, and each answers the other."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(CHUNKED)
        while await wire.until(b"\r\n") != b"0\r\n":
            line = await wire.until(b"\r\n")
            await wire.send(chunked(line[:-2])[:-5])
        await wire.until(b"\r\n")
        await wire.send(b"0\r\n\r\n")

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await client.head()) is not None
    for word in (b"one", b"two", b"three"):
        await client.send(chunked(word)[:-5])
        assert await client.exactly(len(chunked(word)) - 5) == chunked(word)[:-5]
    await client.send(b"0\r\n\r\n")
    assert await client.rest() == b"0\r\n\r\n"


async def test_events_pass_at_once_and_the_stream_is_not_cut_while_they_flow(stage: Stage) -> None:
    received = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(8):
            await wire.send(b"data: %d\n\n" % number)
            await received.wait()  # the next is sent when this has come through
            received.clear()
            await asyncio.sleep(0.06)

    stage.backend(script)
    await stage.open(timeouts=Timeouts(read_s=0.15, write_s=0.15, client_body_s=0.15, keepalive_s=0.15))
    client = await stage.client()
    await client.send(get())
    await client.head()
    for number in range(8):
        assert await client.until(b"\n\n") == b"data: %d\n\n" % number
        received.set()
    assert await client.ending() == "eof"
    assert stage.whys == {Why.OK: 1}


@pytest.mark.parametrize("size", [30_000_000])
async def test_upload_to_a_slow_backend_is_not_held_in_memory(stage: Stage, size: int) -> None:
    peak = 0

    async def script(wire: Wire) -> None:
        nonlocal peak
        await wire.head()
        left = size
        while left:
            left -= len(await wire.some(1 << 16))
            if wire.number == 0 and left % 7 == 0:
                await asyncio.sleep(0)
            (connection,) = stage.worker.connections
            upstream = connection._exchange.upstream  # type: ignore[attr-defined]
            peak = max(peak, upstream.transport.get_write_buffer_size())
        await wire.send(ok())

    stage.backend(script, receive_buffer=4096)
    await stage.open()
    client = await stage.client()
    sending = asyncio.get_running_loop().create_task(client.send(post(b"x" * size)))
    assert (await client.reply()).status == 200
    await sending
    assert 0 < peak <= 64 * 1024 + 256 * 1024  # the high-water mark and one read


async def test_upload_that_comes_while_its_backend_is_dialled_is_not_held_in_memory(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await asyncio.Event().wait()

    stage.backend(script, receive_buffer=4096)
    await stage.open()
    client = await stage.client()
    client.send_now(post(b"x" * 300_000_000)[:1000])
    sending = asyncio.get_running_loop().create_task(client.send(b"x" * 30_000_000))
    await until(lambda: stage.backends[0].wires)
    held = 0
    for _ in range(100):
        await asyncio.sleep(0.001)
        (connection,) = stage.worker.connections
        upstream = connection._exchange.upstream  # type: ignore[attr-defined]
        held = max(held, upstream.transport.get_write_buffer_size() if upstream else 0)
    sending.cancel()
    stage.backends[0].wires[0].reset()
    assert 0 < held <= 64 * 1024 + 2 * 256 * 1024  # what came during the dial, and one read


async def test_download_to_a_slow_client_is_not_held_in_memory(stage: Stage) -> None:
    size = 30_000_000
    stage.backend(serve(ok(b"x" * size)))
    await stage.open(send_buffer=4096)
    client = await stage.client(receive_buffer=1 << 16)
    await client.send(get())
    peak = 0
    await client.head()
    left = size
    while left:
        left -= len(await client.some(1 << 16))
        peak = max(peak, stage.buffered)
    assert 0 < peak <= 64 * 1024 + 256 * 1024


# --- Expect, and replies that come early --------------------------------------------------------------------


async def test_body_sent_without_waiting_for_the_100_passes(stage: Stage) -> None:
    stage.backend(serve(lambda request: ok(request.body)))
    await stage.open()
    assert (await ask(stage, post(b"the body", "Expect: 100-continue"))).body == b"the body"


async def test_backend_that_owes_a_100_is_the_slow_one(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.rest()

    stage.backend(script)
    await stage.open(timeouts=Timeouts(read_s=0.15, client_body_s=0.05))
    client = await stage.client()
    await client.send(post(b"the body", "Expect: 100-continue")[:-8])
    reply = await client.reply()
    assert (reply.status, json.loads(reply.body)["why"]) == (504, "response_header_timeout")
    assert failures(stage) == [1]


async def test_reply_that_comes_before_the_body_has_ended_can_be_read(stage: Stage) -> None:
    """The client goes on sending 20 MB that nobody wants, then reads."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
        await wire.rest()

    stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(post(b"x" * 20_000_000)[:-1])
    reply = await client.reply()
    assert (reply.status, reply.body, reply.get("connection")) == (413, b"too much", "close")
    assert await client.ending() == "eof"
    assert stage.whys == {Why.OK: 1}
    assert failures(stage) == [0]


async def test_reply_of_a_backend_that_then_closes_is_not_lost_to_the_write_that_fails(stage: Stage) -> None:
    """Its reset is met by a write before the reply has been read."""
    headed = asyncio.Event()
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.head()
        headed.set()
        await go.wait()

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(post(b"x" * 1_000_000)[:200])
    await headed.wait()
    (wire,) = backend.wires
    client.send_now(b"y" * 1000)
    await until(lambda: is_readable(wire.sock))
    client.send_now(b"z" * 1000)  # from here on the proxy gets no turn before all has happened, and this is first
    wire.send_now(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
    wire.sock.close()  # with bytes unread: a reset follows the reply
    go.set()
    reply = await client.reply()
    assert (reply.status, reply.body) == (413, b"too much")


# --- backends that break ------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [says(), says_and_resets(), says(b"HTTP/1.1 200 OK\r\nContent-"), says_and_resets(b"H")])
async def test_backend_that_closes_before_its_reply_is_502(stage: Stage, script: Script) -> None:
    backend = stage.backend(script)
    await stage.open()
    reply = await ask(stage, get())
    assert (reply.status, json.loads(reply.body)["why"]) == (502, "reset_before_response")
    assert failures(stage) == [1]
    assert len(backend.wires) == 1  # it may have done it, and was not idle: never twice


async def test_connection_of_the_client_survives_a_backends_death_before_its_reply(stage: Stage) -> None:
    stage.backend(says())
    await stage.open()
    client = await stage.client()
    for _ in range(3):
        await client.send(get())
        reply = await client.reply()
        assert (reply.status, reply.get("connection")) == (502, None)


@pytest.mark.parametrize("breaks", [says, says_and_resets])
@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"12345"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",),
        (CHUNKED, b"5\r\n12345\r\n"),
        (CHUNKED, b"5\r\n12345\r\n0\r\n"),
        (CHUNKED, b"5\r\n123"),
    ],
)
async def test_reply_that_breaks_off_never_looks_complete(stage: Stage, breaks: type, parts: tuple[bytes, ...]) -> None:
    stage.backend(breaks(*parts))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    with pytest.raises((Ended, ConnectionResetError)):
        await client.reply()
    await stage.settled()
    assert stage.whys == {Why.RESET_MID_RESPONSE: 1}
    assert failures(stage) == [1]


async def test_reply_that_only_the_close_ends_is_reset_when_it_breaks(stage: Stage) -> None:
    stage.backend(says_and_resets(b"HTTP/1.1 200 OK\r\n\r\n", b"some"))
    await stage.open()
    client = await stage.client()
    await client.send(get())
    with pytest.raises(ConnectionResetError):
        await client.reply()
    await stage.settled()
    assert stage.whys == {Why.RESET_MID_RESPONSE: 1}
    assert failures(stage) == [1]


async def test_chunks_that_break_off_are_a_reset_for_http_1_0(stage: Stage) -> None:
    stage.backend(says_and_resets(CHUNKED, b"3\r\none\r\n"))
    await stage.open()
    client = await stage.client()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await client.reply()


# --- time ---------------------------------------------------------------------------------------------------


async def test_backend_that_says_nothing_is_504(stage: Stage) -> None:
    stage.backend(says_and_waits())
    await stage.open(timeouts=Timeouts(read_s=0.15))
    reply = await ask(stage, get())
    assert (reply.status, json.loads(reply.body)["why"]) == (504, "response_header_timeout")
    assert failures(stage) == [1]


async def test_backend_that_stops_within_its_reply_breaks_it_off(stage: Stage) -> None:
    stage.backend(says_and_waits(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"))
    await stage.open(timeouts=Timeouts(read_s=0.15))
    client = await stage.client()
    await client.send(get())
    with pytest.raises((Ended, ConnectionResetError)):
        await client.reply()
    assert stage.whys == {Why.RESPONSE_IDLE: 1}
    assert failures(stage) == [1]


async def test_whole_request_has_a_limit_where_one_is_set(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(CHUNKED)
        while True:
            await wire.send(b"1\r\n.\r\n")
            await asyncio.sleep(0.02)

    stage.backend(script)
    await stage.open(timeouts=Timeouts(request_s=0.2))
    client = await stage.client()
    await client.send(get())
    with pytest.raises((Ended, ConnectionResetError)):
        await client.reply()
    assert stage.whys == {Why.TOTAL_TIMEOUT: 1}
    assert failures(stage) == [0]


async def test_backend_that_never_replies_is_to_blame_also_where_the_whole_request_has_a_limit(stage: Stage) -> None:
    backend = stage.backend(says_and_waits())
    await stage.open(timeouts=Timeouts(request_s=0.4), breaker=CircuitBreaker(enabled=True, failure_threshold=3))
    for _ in range(3):
        assert json.loads((await ask(stage, get())).body)["why"] == "total_timeout"
    health = stage.of(backend).health
    assert health is not None
    assert stage.count(backend, counters.BLAMED) == 3
    assert health.evidence[STATE] == BreakerState.OPEN


async def test_trial_that_gets_no_reply_within_the_limit_of_the_whole_request_has_failed(stage: Stage) -> None:
    backend = stage.backend(says_and_waits())
    breaker = CircuitBreaker(enabled=True, failure_threshold=1, timeout_s=0.0)
    await stage.open(timeouts=Timeouts(request_s=0.4), breaker=breaker)
    health = stage.half_open(backend)
    assert (await ask(stage, get())).status == 504
    assert (stage.count(backend, counters.TRIALS), stage.count(backend, counters.TRIALS_FAILED)) == (0, 1)
    assert health.evidence[STATE] == BreakerState.OPEN


async def test_limit_that_its_client_s_upload_has_used_up_is_not_the_backends_fault(stage: Stage) -> None:
    stage.backend(says_and_waits())
    await stage.open(timeouts=Timeouts(request_s=0.2))
    client = await stage.client()
    await client.send(post(b"body")[:-2])
    assert (await client.reply()).status == 504
    assert failures(stage) == [0]


async def test_limit_of_the_whole_request_counts_the_dial(stage: Stage) -> None:
    await stage.open(stage.hanging(), timeouts=Timeouts(request_s=0.1, connect_s=0.5))
    reply = await ask(stage, get())
    assert (reply.status, json.loads(reply.body)["why"]) == (504, "total_timeout")


async def test_limit_of_one_request_is_not_the_next_ones(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(timeouts=Timeouts(request_s=0.15, keepalive_s=5.0))
    client = await stage.client()
    for _ in range(3):
        await client.send(get())
        assert (await client.reply()).status == 200
        await asyncio.sleep(0.12)


async def test_backend_that_takes_its_body_slowly_is_not_the_clients_fault(stage: Stage) -> None:
    """It takes some, every now and then, for several timeouts of everybody."""
    size = 400_000

    async def script(wire: Wire) -> None:
        await wire.head()
        left = size
        while left:
            left -= len(await wire.some(15_000))
            await asyncio.sleep(0.02)
        await wire.send(ok())

    stage.backend(script, receive_buffer=1 << 15)
    await stage.open(timeouts=Timeouts(client_body_s=0.1, write_s=0.15, read_s=0.15))
    client = await stage.client()
    sending = asyncio.get_running_loop().create_task(client.send(post(b"x" * size)))
    assert (await client.reply()).status == 200
    await sending


async def test_backend_that_stops_taking_the_body_is_504(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await asyncio.Event().wait()

    stage.backend(script, receive_buffer=4096)
    await stage.open(timeouts=Timeouts(client_body_s=30.0, write_s=0.15, read_s=30.0))
    client = await stage.client()
    sending = asyncio.get_running_loop().create_task(client.send(post(b"x" * 30_000_000)))
    reply = await client.reply()
    await sending  # read and thrown away
    assert (reply.status, json.loads(reply.body)["why"]) == (504, "response_header_timeout")
    assert failures(stage) == [1]


async def test_client_that_leaves_while_its_backend_takes_nothing_is_not_the_backends_fault(stage: Stage) -> None:
    """Its reading is paused, so that nobody sees it go before the timeout."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await asyncio.Event().wait()

    stage.backend(script, receive_buffer=4096)
    await stage.open(timeouts=Timeouts(write_s=0.3))
    client = await stage.client()
    sending = asyncio.get_running_loop().create_task(client.send(post(b"x" * 30_000_000)))
    await until(lambda: stage.worker.connections and next(iter(stage.worker.connections))._paused_for)  # type: ignore[attr-defined]
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    client.reset()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert failures(stage) == [0]


async def test_backend_that_stops_taking_the_body_and_then_replies_is_heard(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await until(lambda: next(iter(stage.worker.connections))._paused_for)  # type: ignore[attr-defined]
        await wire.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await wire.has_ended()

    stage.backend(script, receive_buffer=4096)
    await stage.open()
    client = await stage.client()
    sending = asyncio.get_running_loop().create_task(client.send(post(b"x" * 30_000_000)))
    assert (await client.reply()).body == b"no"
    await sending


# --- other backends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_sent", [get(), post(b"body")])
async def test_refused_connection_goes_to_the_next_backend_whatever_the_method(stage: Stage, request_sent: bytes) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open(stage.refusing(), stage.refusing())
    for _ in range(3):
        assert (await ask(stage, request_sent)).status == 200
    assert stage.whys == {Why.OK: 3}
    assert stage.count(backend, counters.LEASES) == 3


async def test_hanging_connection_goes_to_the_next_backend_after_the_connect_timeout(stage: Stage) -> None:
    stage.backend(serve(lambda request: ok(request.body)))
    await stage.open(stage.hanging(), timeouts=Timeouts(connect_s=0.1))
    client = await stage.client()
    request = post(b"x" * 500_000)
    sending = asyncio.get_running_loop().create_task(client.send(request))
    async with asyncio.timeout(4.0):  # and not after the default, 5 s
        assert (await client.reply()).body == b"x" * 500_000
    await sending
    assert failures(stage) == [1, 0]


async def test_502_when_every_backend_refuses(stage: Stage) -> None:
    await stage.open(stage.refusing(), stage.refusing())
    reply = await ask(stage, get())
    assert (reply.status, json.loads(reply.body)["why"]) == (502, "connect_refused")
    assert failures(stage) == [1, 1]


async def test_504_when_every_connection_hangs(stage: Stage) -> None:
    await stage.open(stage.hanging(), timeouts=Timeouts(connect_s=0.1))
    reply = await ask(stage, get())
    assert (reply.status, json.loads(reply.body)["why"]) == (504, "connect_timeout")


async def test_upload_whose_backend_can_not_be_reached_is_answered(stage: Stage) -> None:
    """Its body is coming while the dial fails; the connection goes on only if all of it has come."""
    await stage.open(stage.refusing())
    client = await stage.client()
    for _ in range(2):
        await client.send(post(b"body"))
        assert (await client.reply()).status == 502
    sending = asyncio.get_running_loop().create_task(client.send(post(b"x" * 3_000_000)))
    reply = await client.reply()
    assert (reply.status, reply.get("connection")) == (502, "close")
    await sending


async def test_503_with_retry_after_when_no_backend_is_ready(stage: Stage) -> None:
    backend = stage.backend(serve(ok()))
    await stage.open()
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    reply = await ask(stage, get())
    assert (reply.status, reply.get("retry-after")) == (503, "1")
    assert stage.whys == {Why.NO_HEALTHY: 1}
    stage.listener_server.set_ready(stage.of(backend).slot, True)
    assert (await ask(stage, get())).status == 200


def test_what_may_be_sent_again_is_bounded() -> None:
    assert REPLAY_LIMIT <= 64 * 1024


@pytest.mark.parametrize(
    ("setting", "question", "reply"),
    [
        ("drop", [("X-Sum", "1")], [("X-Sum", "2")]),
        ("pass", [("X_Sum", "1"), ("X-Sum", "1")], [("X_Sum", "2"), ("X-Sum", "2")]),
        ("reject", None, [("X-Sum", "2")]),
    ],
)
async def test_trailers_with_an_underscore_go_the_way_of_such_fields(
    stage: Stage, setting: str, question: list[tuple[str, str]] | None, reply: list[tuple[str, str]]
) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return CHUNKED.replace(b"\r\n\r\n", b"\r\nTrailer: X_Sum, X-Sum\r\n\r\n") + chunked(
            b"reply", trailers=b"X_Sum: 2\r\nX-Sum: 2\r\n"
        )

    stage.backend(serve(answer))
    await stage.open(http=HttpConfig(underscore_headers=setting))
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X_Sum, X-Sum\r\n\r\n"
    asked = await ask(stage, head + chunked(b"question", trailers=b"X_Sum: 1\r\nX-Sum: 1\r\n"))
    if question is None:
        assert (asked.status, seen) == (400, [])
        asked = await ask(stage, get())
    else:
        assert (seen[0].trailers, seen[0].get("trailer")) == (question, "X_Sum, X-Sum")
    assert (asked.body, asked.trailers, asked.get("trailer")) == (b"reply", reply, "X_Sum, X-Sum")
