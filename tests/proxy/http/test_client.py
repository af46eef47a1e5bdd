"""A client's connection: heads however they come, answers in their order, time limits, and the end at every moment."""

import asyncio
import ipaddress
import json
import random

import pytest
from rawclient import Message, Wire, chunked, get, ok, post
from scripts import never
from stage import Stage, serve, until

from balance.config.model import HttpConfig, Limits, Timeouts
from balance.model import Why
from balance.proxy.http.client import MAX_WAITING, HttpClient
from balance.proxy.http.exchange.exchange import Exchange
from balance.runtime import counters


def name_target(request: Message) -> bytes:
    return ok(request.target.encode())


def only(stage: Stage) -> HttpClient:
    """The one connection of a client."""
    (connection,) = stage.worker.connections
    assert isinstance(connection, HttpClient)
    return connection


def requests_of(stage: Stage) -> dict[tuple[int, int], int]:
    """How many requests ended with which status, by backend slot."""
    counts = {}
    for at in counters.series_pairs(stage.row.cells):
        if key := stage.cell(at):
            slot, _, status, _ = counters.series_parts(key)
            counts[slot, status] = counts.get((slot, status), 0) + stage.cell(at + 1)
    return counts


# --- heads ------------------------------------------------------------------------------------------------


async def test_head_may_come_in_any_two_parts(stage: Stage) -> None:
    stage.backend(serve(name_target))
    await stage.open()
    client = await stage.client()
    request = get("/split")
    for cut in range(1, len(request)):
        client.send_now(request[:cut])
        await until(lambda: only(stage)._buffer)
        client.send_now(request[cut:])
        assert (await client.reply()).body == b"/split"


async def test_head_may_come_byte_by_byte_and_end_with_the_next(stage: Stage) -> None:
    stage.backend(serve(name_target))
    await stage.open()
    client = await stage.client()
    for byte in get("/one") + get("/two"):
        client.send_now(bytes((byte,)))
        await asyncio.sleep(0)
    assert [(await client.reply()).body for _ in range(2)] == [b"/one", b"/two"]


async def test_empty_lines_before_a_request_are_skipped(stage: Stage) -> None:
    stage.backend(serve(name_target))
    await stage.open()
    client = await stage.client()
    for before in (b"\r\n", b"\r\n\r\n\r\n"):
        await client.send(before + get("/a"))
        assert (await client.reply()).body == b"/a"
    for part in (b"\r", b"\n\r", b"\n", get("/b")):
        client.send_now(part)
        await asyncio.sleep(0.001)
    assert (await client.reply()).body == b"/b"


async def test_slow_head_is_answered_408(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(timeouts=Timeouts(client_header_s=0.15))
    client = await stage.client()

    async def dribble() -> None:
        for byte in b"GET / HTTP/1.1\r\nX: " + b"y" * 1000:
            await client.send(bytes((byte,)))
            await asyncio.sleep(0.01)

    dribbling = asyncio.get_running_loop().create_task(dribble())
    async with asyncio.timeout(5.0):  # half of the default
        reply = await client.reply()
    dribbling.cancel()
    assert (reply.status, json.loads(reply.body)["why"]) == (408, "header_timeout")
    assert stage.whys == {Why.HEADER_TIMEOUT: 1}


async def test_connection_that_never_asks_is_closed_without_a_word(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(timeouts=Timeouts(client_header_s=0.1))
    client = await stage.client()
    assert await client.ending() == "eof"
    assert stage.whys == {}


async def test_idle_connection_is_closed_after_keepalive(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(timeouts=Timeouts(keepalive_s=0.1))
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).status == 200
    assert await client.ending() == "eof"


# --- order ------------------------------------------------------------------------------------------------


async def test_requests_follow_each_other_on_one_connection_each_way(stage: Stage) -> None:
    backend = stage.backend(serve(name_target))
    await stage.open()
    client = await stage.client()
    for number in range(50):
        await client.send(get(f"/{number}"))
        assert (await client.reply()).body == b"/%d" % number
    assert len(backend.wires) == 1
    assert stage.cell(counters.CONNECTIONS) == 1
    assert stage.whys == {Why.OK: 50}


async def test_a_thousand_requests_in_one_write_are_answered_in_order(stage: Stage) -> None:
    backends = [stage.backend(serve(name_target)) for _ in range(3)]
    await stage.open()
    client = await stage.client()
    client.send_now(b"".join(get(f"/{number}") for number in range(1000)))
    for number in range(1000):
        assert (await client.reply()).body == b"/%d" % number
    assert stage.whys == {Why.OK: 1000}
    assert [len(backend.wires) for backend in backends] == [1, 1, 1]
    leases = [stage.count(backend, counters.LEASES) for backend in backends]
    assert max(leases) - min(leases) <= 1


@pytest.mark.parametrize("seed", range(4))
async def test_pipelined_requests_of_every_kind_keep_their_order(stage: Stage, seed: int) -> None:
    """Bodies with a length and with chunks, HEAD, slow replies, errors of the backend and of ours; cut anywhere."""
    rand = random.Random(seed)

    def answer(request: Message) -> bytes:
        text = request.target.encode() + b" " + request.body
        match request.target[1]:
            case "c":
                return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(text[:3], text[3:])
            case "n":
                return b"HTTP/1.1 204 No Content\r\n\r\n"
            case "e":
                return b"nonsense\r\n\r\n"
            case _:
                return ok(b"" if request.line.startswith("HEAD") else text)

    stage.backend(serve(answer))
    await stage.open()
    client = await stage.client()
    sent, expected = [], []
    for number in range(150):
        kind = rand.choice("lcne")
        target = f"/{kind}{number}"
        body = rand.randbytes(rand.choice((0, 5, 3000))).hex().encode()
        way = rand.choice(("get", "length", "chunks"))
        if way == "get":
            sent.append(get(target))
            body = b""
        elif way == "length":
            sent.append(post(body, target=target))
        else:
            head = f"POST {target} HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
            sent.append(head.encode() + chunked(*filter(None, (body[:7], body[7:]))))
        status = {"n": 204, "e": 502}.get(kind, 200)
        expected.append((status, target.encode() + b" " + body if status == 200 else None))
    data = b"".join(sent)

    async def send() -> None:
        position = 0
        while position < len(data):
            step = rand.choice((1, 50, 1000, 40_000))
            await client.send(data[position : position + step])
            position += step

    sending = asyncio.get_running_loop().create_task(send())
    for status, body_expected in expected:
        reply = await client.reply()
        assert reply.status == status
        if body_expected is not None:
            assert reply.body == body_expected
    await sending


async def test_pipelined_requests_that_nobody_can_serve_are_all_answered(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    client = await stage.client()
    client.send_now(get("/1") + post(b"body", target="/2") + get("/3"))
    assert [(await client.reply()).status for _ in range(3)] == [503, 503, 503]
    assert stage.whys == {Why.NO_HEALTHY: 3}


async def test_nothing_is_answered_after_an_answer_that_closes(stage: Stage) -> None:
    backend = stage.backend(serve(name_target))
    await stage.open()
    client = await stage.client()
    client.send_now(get("/1", "Connection: close") + get("/2"))
    reply = await client.reply()
    assert (reply.body, reply.get("connection")) == (b"/1", "close")
    assert await client.ending() == "eof"
    assert stage.count(backend, counters.LEASES) == 1


async def test_client_that_asks_on_and_on_without_reading_is_held_at_a_bound(stage: Stage) -> None:
    stage.backend(serve(lambda request: ok(b"x" * 50_000)))
    await stage.open(send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    requests = get("/" + "y" * 100) * 2000
    peak = 0

    async def ask() -> None:
        while True:
            await client.send(requests)

    asking = asyncio.get_running_loop().create_task(ask())
    await until(lambda: stage.worker.connections and only(stage)._paused_for)
    for _ in range(200):
        await asyncio.sleep(0.001)
        peak = max(peak, len(only(stage)._buffer))
    asking.cancel()
    assert peak <= MAX_WAITING + 256 * 1024  # and what one read may bring
    assert stage.buffered <= 64 * 1024 + 51_000


async def test_client_that_stopped_reading_is_served_on_when_it_reads_again(stage: Stage) -> None:
    stage.backend(serve(lambda request: ok(request.target.encode().ljust(100))))
    await stage.open(send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    asking = asyncio.get_running_loop().create_task(client.send(b"".join(get(f"/{number}") for number in range(8000))))
    await until(lambda: stage.worker.connections and only(stage)._paused_for and only(stage).is_write_paused)
    for number in range(8000):
        assert (await client.reply()).body.rstrip() == b"/%d" % number
    await asking


# --- versions ---------------------------------------------------------------------------------------------


async def test_http_1_0_is_closed_after_its_answer(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    await client.send(b"GET / HTTP/1.0\r\n\r\n")
    reply = await client.reply()
    assert (reply.line, reply.get("connection")) == ("HTTP/1.1 200 OK", "close")
    assert await client.ending() == "eof"


async def test_http_1_0_may_keep_its_connection(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    for _ in range(3):
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.reply()).get("connection") == "keep-alive"


async def test_http_1_0_is_closed_after_an_error_that_says_nothing_else(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    stage.listener_server.set_ready(stage.of(backend).slot, False)
    client = await stage.client()
    await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    reply = await client.reply()
    assert (reply.status, reply.get("connection")) == (503, "close")
    assert await client.ending() == "eof"


# --- bodies that are late or refused -----------------------------------------------------------------------


async def test_body_beyond_the_limit_is_refused_before_a_backend_hears_of_it(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=HttpConfig(limits=Limits(body_bytes=1000)))
    client = await stage.client()
    await client.send(post(b"x" * 1001))
    reply = await client.reply()
    assert (reply.status, json.loads(reply.body)["why"]) == (413, "body_too_large")
    assert await client.ending() == "eof"
    assert backend.wires == []


async def test_body_that_grows_beyond_the_limit_is_refused_then(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(http=HttpConfig(limits=Limits(body_bytes=1000)))
    client = await stage.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 900)[:-5])
    await until(lambda: backend.wires)
    await client.send(chunked(b"y" * 200))
    reply = await client.reply()
    assert (reply.status, reply.get("connection")) == (413, "close")
    assert stage.whys == {Why.BODY_TOO_LARGE: 1}
    assert stage.count(backend, counters.FAILURES) == 0


async def test_refusal_can_be_read_by_a_client_that_still_sends(stage: Stage) -> None:
    stage.backend(never)
    await stage.open(http=HttpConfig(limits=Limits(body_bytes=1000)))
    client = await stage.client()
    await client.send(post(b"x" * 5_000_000))
    assert (await client.reply()).status == 413
    client.half_close()
    assert await client.ending() == "eof"


async def test_malformed_body_is_refused_and_the_backend_is_not_to_blame(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    client = await stage.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await until(lambda: backend.wires and backend.wires[0].seen > 50)
    await client.send(b"zz\r\n")
    reply = await client.reply()
    assert (reply.status, reply.get("connection")) == (400, "close")
    await backend.wires[0].has_ended()
    assert stage.count(backend, counters.FAILURES) == 0


async def test_body_that_does_not_come_is_answered_408(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open(timeouts=Timeouts(client_body_s=0.15))
    client = await stage.client()
    await client.send(post(b"x" * 100)[:-50])
    async with asyncio.timeout(10.0):  # a third of the default
        reply = await client.reply()
    assert (reply.status, json.loads(reply.body)["why"]) == (408, "body_timeout")
    assert stage.count(backend, counters.FAILURES) == 0


async def test_body_that_comes_slowly_is_waited_for(stage: Stage) -> None:
    stage.backend(serve(lambda request: ok(request.body)))
    await stage.open(timeouts=Timeouts(client_body_s=0.2))
    client = await stage.client()
    request = post(b"12345678")
    await client.send(request[:-8])
    for byte in b"12345678":
        await asyncio.sleep(0.08)
        await client.send(bytes((byte,)))
    assert (await client.reply()).body == b"12345678"


# --- clients that go ---------------------------------------------------------------------------------------


async def abort_seen(backend_wire: Wire) -> None:
    async with asyncio.timeout(2):
        await backend_wire.has_ended()


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
async def test_client_that_leaves_before_the_reply_cancels_its_request(stage: Stage, how: str) -> None:
    """A half-close counts too: who asks and closes looks the same."""
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await abort_seen(wire)
        ended.set()

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await until(lambda: backend.wires and backend.wires[0].seen)
    getattr(client, how)()
    await ended.wait()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert stage.count(backend, counters.FAILURES) == 0
    assert requests_of(stage) == {(1, 499): 1}


async def test_client_that_leaves_within_its_body_cancels_its_request(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    client = await stage.client()
    await client.send(post(b"x" * 100_000)[:-1])
    await until(lambda: backend.wires and backend.wires[0].seen > 100_000)
    client.reset()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert stage.count(backend, counters.FAILURES) == 0


async def test_client_that_leaves_within_its_reply_cancels_the_rest(stage: Stage) -> None:
    cancelled = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                await wire.send(b"x" * 100_000)
        except ConnectionError:
            cancelled.set()

    backend = stage.backend(script)
    await stage.open()
    client = await stage.client()
    await client.send(get())
    await client.exactly(300_000)
    client.close()
    await cancelled.wait()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    assert stage.count(backend, counters.FAILURES) == 0


async def test_client_that_leaves_during_the_dial_blames_nobody(stage: Stage) -> None:
    await stage.open(stage.hanging(), timeouts=Timeouts(connect_s=0.2))
    client = await stage.client()
    await client.send(get())
    await until(lambda: stage.active)
    client.reset()
    await until(lambda: not stage.active)
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    (backend,) = stage.backend_states
    assert stage.cell(backend.block + counters.FAILURES) == 0


async def test_connection_dialled_for_a_client_that_left_serves_the_next(stage: Stage) -> None:
    """Its dial went on without it."""
    backend = stage.backend(serve(ok()))
    await stage.open()
    client = await stage.client()
    client.send_now(get())
    client.reset()
    await until(lambda: stage.of(backend).idle)
    assert stage.whys == {Why.CLIENT_ABORT: 1}
    following = await stage.client()
    await following.send(get())
    assert (await following.reply()).status == 200
    assert len(backend.wires) == 1


async def test_client_that_leaves_with_requests_waiting_leaves_nothing(stage: Stage) -> None:
    backend = stage.backend(never)
    await stage.open()
    client = await stage.client()
    client.send_now(get("/1") + get("/2") + get("/3")[:-5])
    await until(lambda: backend.wires)
    client.reset()
    await stage.settled()
    assert stage.whys == {Why.CLIENT_ABORT: 1}


# --- clients that don't read -------------------------------------------------------------------------------


def endless(size: int) -> bytes:
    return ok(b"x" * size)


async def test_client_that_does_not_read_is_cut_after_write(stage: Stage) -> None:
    backend = stage.backend(serve(endless(1_000_000)))
    await stage.open(timeouts=Timeouts(write_s=0.2), send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await client.send(get())
    await until(lambda: stage.whys)
    assert stage.whys == {Why.CLIENT_TOO_SLOW: 1}
    await until(lambda: not stage.worker.connections, patience_s=0.15)  # at once, not after another `write`
    assert stage.count(backend, counters.FAILURES) == 0


async def test_client_that_pauses_is_given_write_and_not_read(stage: Stage) -> None:
    """While it is the client that is waited for, the backend's timeout does not count."""
    stage.backend(serve(endless(500_000)))
    await stage.open(timeouts=Timeouts(write_s=10.0, read_s=0.1), send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await client.send(get())
    await until(lambda: stage.worker.connections and only(stage).is_write_paused)
    await asyncio.sleep(0.3)
    assert len((await client.reply()).body) == 500_000


@pytest.mark.parametrize("closing", [True, False])
async def test_slow_reader_gets_all_of_it(stage: Stage, closing: bool) -> None:
    """For several times `write`, a little at a time, also when the answer is the connection's last."""
    stage.backend(serve(endless(60_000)))
    await stage.open(timeouts=Timeouts(write_s=0.1, keepalive_s=0.1), send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await client.send(get("/", *(("Connection: close",) if closing else ())))
    received = 0
    while received < 60_000:
        some = await client.some(3000)
        assert some, received
        received += len(some)
        await asyncio.sleep(0.02)


async def test_client_that_never_reads_its_last_answer_is_cut(stage: Stage) -> None:
    stage.backend(serve(endless(60_000)))
    await stage.open(timeouts=Timeouts(write_s=0.1), send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await client.send(get("/", "Connection: close"))
    await until(lambda: stage.whys)
    await until(lambda: not stage.worker.connections, patience_s=2.0)


async def test_client_that_ends_and_never_reads_is_cut(stage: Stage) -> None:
    """It is dialled for when its end comes, which has no time limit of its own."""
    backend = stage.backend(serve(endless(60_000)))
    await stage.open(timeouts=Timeouts(write_s=0.1, connect_s=0.5), send_buffer=4096)
    client = await stage.client(receive_buffer=4096)
    await client.send(get())
    await until(lambda: stage.whys)
    known = stage.of(backend)
    known.address = stage.hanging()
    for parked in list(known.idle):
        parked.discard()
    await client.send(get())
    await until(lambda: stage.active)
    client.half_close()
    await until(lambda: not stage.worker.connections, patience_s=2.0)
    await stage.settled()


# --- what the backend is told ------------------------------------------------------------------------------


async def test_backend_is_told_of_the_client_and_not_what_the_client_says_of_itself(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open()
    client = await stage.client()
    await client.send(get("/a?b=%20c", "X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1.2.3.4", "Forwarded: for=1.2.3.4"))
    await client.reply()
    (request,) = seen
    assert request.line == "GET /a?b=%20c HTTP/1.1"
    assert request.all("x-forwarded-for") == ["127.0.0.1"]
    assert request.all("x-real-ip") == ["127.0.0.1"]
    assert request.all("x-forwarded-host") == ["a.example"]
    assert request.all("x-forwarded-port") == [str(stage.address.port)]
    assert request.all("x-forwarded-proto") == ["http"]
    assert request.all("forwarded") == []
    assert request.get("host") == "a.example"
    assert len(request.get("x-request-id") or "") == 24


async def test_trusted_proxy_is_believed(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(request: Message) -> bytes:
        seen.append(request)
        return ok()

    stage.backend(serve(answer))
    await stage.open(trusted=(ipaddress.ip_network("127.0.0.0/8"),))
    client = await stage.client()
    await client.send(get("/", "X-Forwarded-For: 9.9.9.9, 1.2.3.4", "X-Forwarded-Proto: https", "X-Request-Id: abc"))
    await client.reply()
    (request,) = seen
    assert request.all("x-forwarded-for") == ["9.9.9.9, 1.2.3.4, 127.0.0.1"]
    assert request.all("x-forwarded-proto") == ["https"]
    assert request.all("x-real-ip") == ["1.2.3.4"]
    assert request.all("x-request-id") == ["abc"]


# --- our own faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        "exchange.Exchange.start",
        "tries.send",
        "exchange.Exchange.response_received",
        "exchange.begin_reply",
        "reply_head.end_well",
    ],
)
@pytest.mark.pure
async def test_bug_in_an_exchange_ends_its_client_and_leaks_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    stage.backend(serve(ok()))
    await stage.open()
    monkeypatch.setattr(f"balance.proxy.http.exchange.{method}", crash)
    client = await stage.client()
    await client.send(get())
    async with asyncio.timeout(3):
        await client.has_ended()
    await stage.settled()
    monkeypatch.undo()
    assert stage.active == 0
    assert any("ZeroDivisionError" in failure for failure in stage.failures)
    stage.failures.clear()
    client = await stage.client()
    await client.send(get())
    assert (await client.reply()).status == 200


@pytest.mark.pure
async def test_bug_in_the_count_costs_nobody_a_reply(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    stage.backend(serve(ok()))
    await stage.open()
    monkeypatch.setattr("balance.proxy.http.exchange.ending.count_exchange", crash)
    client = await stage.client()
    for _ in range(2):
        await client.send(get())
        assert (await client.reply()).status == 200
    assert stage.active == 0
    assert len(stage.failures) == 2
    stage.failures.clear()


@pytest.mark.pure
async def test_bug_after_pipelined_requests_ends_the_client(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.backend(serve(name_target))
    await stage.open()
    client = await stage.client()
    start, started = Exchange.start, []

    def crash_second(exchange: Exchange, data: bytes, head_end: int) -> bytes:
        started.append(exchange)
        if len(started) == 2:
            raise ZeroDivisionError
        return start(exchange, data, head_end)

    monkeypatch.setattr(Exchange, "start", crash_second)
    client.send_now(get("/1") + get("/2"))
    assert (await client.reply()).body == b"/1"
    async with asyncio.timeout(3):
        await client.has_ended()
    assert any("ZeroDivisionError" in failure for failure in stage.failures)
    stage.failures.clear()
