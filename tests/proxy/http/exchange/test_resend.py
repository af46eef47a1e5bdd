"""Requests that are tried again: what each backend gets, what the client sees, and the reason where they are not."""

import asyncio
import json
import random
from collections import Counter
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
import scripts
from rawclient import Message, Wire, chunked, get, ok, post
from stage import Backend, Script, Stage, serve, until

from balance.config.model import AccessLog, CircuitBreaker, HttpConfig, Keepalive, Retry, RetryBudget, Timeouts
from balance.model import Address, Outcome, Why
from balance.proxy.buffering.upload import REPLAY_LIMIT
from balance.proxy.http.client import HttpClient
from balance.proxy.net.dial import Resolver
from balance.retry.decision import RetryOutcome
from balance.runtime import counters


def asked(**given: Any) -> Retry:
    """More than by default."""
    return Retry(**({"max_attempts": 3, "on": ("connect", "reset", 502, 503, 504)} | given))


ON = asked()
SLOW = asked(backoff_base_s=30.0, backoff_max_s=30.0, jitter=0.0)  # a wait that no test sits out
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\ndown"


def put(body: bytes, *fields: str) -> bytes:
    return post(body, *fields).replace(b"POST", b"PUT")


def recording(requests: list[Message], reply: bytes | None) -> Script:
    """Writes down every request; answers it, or closes when there is nothing to say."""

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            requests.append(request)
            if reply is None:
                return
            await wire.send(reply)

    return script


def silent(requests: list[Message]) -> Script:
    async def script(wire: Wire) -> None:
        request = await wire.request()
        assert request is not None
        requests.append(request)
        await wire.has_ended()

    return script


async def silent_after_head(wire: Wire) -> None:
    await wire.head()
    await wire.has_ended()


async def ask(stage: Stage, request: bytes) -> Message:
    client = await stage.client()
    await client.send(request)
    return await client.reply("HEAD" if request.startswith(b"HEAD") else "GET")


def pair(stage: Stage, reply: bytes | None) -> tuple[list[Message], Backend, Backend]:
    """What reaches the first backend, which says `reply`, and both; the second is well."""
    requests: list[Message] = []
    return requests, stage.backend(recording(requests, reply)), stage.backend(serve(ok(b"second")))


# --- what is tried again ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("reply", [None, UNAVAILABLE], ids=["reset", "503"])
async def test_request_that_may_be_repeated_goes_to_another_backend(stage: Stage, method: str, reply: bytes | None) -> None:
    if method == "HEAD" and reply is not None:
        reply = UNAVAILABLE[:-4]
    requests, first, second = pair(stage, reply)
    await stage.open(retry=ON)
    assert (await ask(stage, get().replace(b"GET", method.encode()))).status == 200
    assert len(requests) == 1
    assert (stage.count(first, counters.RETRIES), stage.count(first, counters.FAILURES)) == (1, 1)
    assert (stage.count(second, counters.RETRIES), stage.count(second, counters.FAILURES)) == (0, 0)
    assert stage.whys == {Why.OK: 1}
    assert stage.skipped == {}


@pytest.mark.parametrize(
    ("reply", "status", "why"), [(None, 502, Why.RESET_BEFORE_RESPONSE), (UNAVAILABLE, 503, Why.OK)], ids=["reset", "503"]
)
async def test_post_is_not(stage: Stage, reply: bytes | None, status: int, why: Why) -> None:
    requests, first, second = pair(stage, reply)
    await stage.open(retry=ON)
    assert (await ask(stage, post(b"order"))).status == status
    assert len(requests) == 1
    assert second.wires == []
    assert stage.whys == {why: 1}
    assert stage.skipped == {RetryOutcome.METHOD: 1}
    assert stage.count(first, counters.RETRIES) == 0


async def test_post_with_a_key_of_its_own_is(stage: Stage) -> None:
    requests, _, _ = pair(stage, None)
    await stage.open(retry=ON)
    assert (await ask(stage, post(b"order", "Idempotency-Key: 7"))).body == b"second"
    assert [request.body for request in requests] == [b"order"]


async def test_post_that_was_never_sent_moves_on(stage: Stage) -> None:
    requests: list[Message] = []
    stage.backend(recording(requests, ok(b"done")))
    await stage.open(stage.refusing(), retry=ON)
    assert (await ask(stage, post(b"order"))).body == b"done"
    assert [request.body for request in requests] == [b"order"]


async def test_long_body_that_came_with_its_head_is_sent_again_whole(stage: Stage) -> None:
    body = bytes(range(256)) * 200
    requests: list[Message] = []
    for reply in (UNAVAILABLE, ok(b"second")):
        stage.backend(recording(requests, reply))
    await stage.open(retry=ON)
    assert (await ask(stage, put(body))).body == b"second"
    assert [request.body for request in requests] == [body, body]


async def test_unasked_nothing_but_a_failed_connection_is_tried_again(stage: Stage) -> None:
    requests, _, second = pair(stage, None)
    await stage.open()
    assert (await ask(stage, get())).status == 502
    assert (len(requests), second.wires) == (1, [])
    assert stage.skipped == {RetryOutcome.OFF: 1}


async def test_reply_that_is_passed_over_leaves_its_connection_if_it_was_whole(stage: Stage) -> None:
    _, first, _ = pair(stage, UNAVAILABLE)
    await stage.open(retry=ON)
    assert (await ask(stage, get())).status == 200
    assert len(stage.of(first).idle) == 1


@pytest.mark.parametrize(
    "reply",
    [
        UNAVAILABLE[:-2],
        UNAVAILABLE + b"more",
        UNAVAILABLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 503 No\r\n\r\n",
    ],
    ids=["part", "too much", "close", "chunks", "until close"],
)
async def test_reply_that_is_passed_over_takes_its_connection_with_it_if_it_was_not(stage: Stage, reply: bytes) -> None:
    _, first, second = pair(stage, reply)
    await stage.open(retry=ON)
    assert (await ask(stage, get())).body == b"second"
    assert stage.of(first).idle == []
    await until(lambda: stage.of(first).open_count == 0)
    assert len(stage.of(second).idle) == 1


async def test_connection_that_has_served_its_number_is_not_kept(stage: Stage) -> None:
    _, first, _ = pair(stage, UNAVAILABLE)
    await stage.open(retry=ON, http=HttpConfig(keepalive=Keepalive(max_requests=1)))
    assert (await ask(stage, get())).status == 200
    assert stage.of(first).idle == []


async def test_silent_backend_is_left_after_the_time_for_a_try(stage: Stage) -> None:
    requests: list[Message] = []
    first = stage.backend(silent(requests))
    stage.backend(serve(ok(b"second")))
    await stage.open(retry=asked(per_try_timeout_s=0.1))
    assert (await ask(stage, get())).body == b"second"
    assert len(requests) == 1
    assert stage.count(first, counters.FAILURES) == 1


async def test_time_for_a_try_bounds_its_connect(stage: Stage) -> None:
    stage.backend(serve(ok(b"second")))
    await stage.open(stage.hanging(), retry=asked(per_try_timeout_s=0.1))
    assert (await ask(stage, post(b"x"))).body == b"second"


@pytest.mark.pure
async def test_time_that_a_connect_took_is_a_part_of_the_try_s(stage: Stage) -> None:
    requests: list[Message] = []
    silence = stage.backend(silent(requests))
    await stage.open(Address("slow.example", silence.address.port), retry=asked(per_try_timeout_s=5.0))
    is_asked, answered = asyncio.Event(), asyncio.Event()

    async def resolve(host: str) -> list[str]:
        is_asked.set()
        await answered.wait()
        return ["127.0.0.1"]

    stage.worker.resolver = cast(Resolver, SimpleNamespace(resolve=resolve, known=lambda host: ""))
    lease_at = monotonic()
    client = await stage.client()
    await client.send(get())
    await is_asked.wait()
    await asyncio.sleep(0.1)  # the name takes its time
    answered.set()
    await until(lambda: requests)
    (connection,) = stage.worker.connections
    assert isinstance(connection, HttpClient)
    assert lease_at + 5.0 <= connection.deadline < monotonic() + 4.95
    client.close()


async def test_post_to_a_silent_backend_is_a_504(stage: Stage) -> None:
    stage.backend(silent([]))
    second = stage.backend(serve(ok()))
    await stage.open(retry=asked(per_try_timeout_s=0.1))
    assert (await ask(stage, post(b"x"))).status == 504
    assert second.wires == []
    assert stage.whys == {Why.RESPONSE_HEADER_TIMEOUT: 1}


async def test_time_for_a_try_ends_with_the_reply_s_head(stage: Stage) -> None:
    more = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await more.wait()
        await wire.send(b"cd")

    stage.backend(script)
    await stage.open(retry=asked(per_try_timeout_s=0.5))
    client = await stage.client()
    await client.send(get())
    await client.until(b"\r\n\r\nab")  # the request id may have an `ab`, too
    await asyncio.sleep(0.7)  # more than what a try may take
    more.set()
    assert await client.exactly(2) == b"cd"


# --- bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("reply", [None, UNAVAILABLE], ids=["reset", "503"])
async def test_small_body_that_was_streamed_is_sent_again_byte_for_byte(
    stage: Stage, framing: str, reply: bytes | None
) -> None:
    parts = [bytes([65 + number]) * 3000 for number in range(10)]
    body = b"".join(parts)
    requests, first, _ = pair(stage, reply)
    again: list[Message] = []
    stage.backends[1]._script = recording(again, ok(b"second"))
    await stage.open(retry=ON)
    client = await stage.client()
    if framing == "length":
        await client.send(put(body)[: -len(body)])
    else:
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in parts:
        seen = sum(wire.seen for wire in first.wires)
        await client.send(part if framing == "length" else chunked(part)[:-5])
        await until(lambda seen=seen: sum(wire.seen for wire in first.wires) > seen)  # type: ignore[misc]  # one by one
    if framing == "chunks":
        await client.send(b"0\r\nX-Sum: 1\r\n\r\n")
    assert (await client.reply()).body == b"second"
    (before,), (after,) = requests, again
    assert before.body == after.body == body
    assert (before.raw, before.trailers) == (after.raw, after.trailers)


async def test_upload_goes_on_at_the_next_backend_where_it_was_interrupted(stage: Stage) -> None:
    async def leaves_early(wire: Wire) -> None:
        await wire.until(b"first half, ")

    again: list[Message] = []
    stage.backend(leaves_early)
    second = stage.backend(recording(again, ok(b"second")))
    await stage.open(retry=ON)
    client = await stage.client()
    request = put(b"first half, second half")
    await client.send(request[:-11])
    await until(lambda: second.wires and second.wires[0].seen)
    await client.send(request[-11:])
    assert (await client.reply()).body == b"second"
    assert [message.body for message in again] == [b"first half, second half"]


async def test_upload_that_comes_during_the_wait_is_not_lost(stage: Stage) -> None:
    async def leaves_early(wire: Wire) -> None:
        await wire.until(b"first half, ")

    again: list[Message] = []
    first = stage.backend(leaves_early)
    stage.backend(recording(again, ok(b"second")))
    await stage.open(retry=asked(backoff_base_s=0.8, jitter=0.0))
    client = await stage.client()
    request = put(b"first half, second half")
    await client.send(request[:-11])
    await until(lambda: stage.count(first, counters.RETRIES))
    await client.send(request[-11:])
    assert (await client.reply()).body == b"second"
    assert [message.body for message in again] == [b"first half, second half"]


async def test_what_came_during_a_wait_is_kept_for_the_try_after_the_next(stage: Stage) -> None:
    def leaves_after(mark: bytes) -> Script:
        async def script(wire: Wire) -> None:
            await wire.until(mark)

        return script

    again: list[Message] = []
    first = stage.backend(leaves_after(b"first half, "))
    stage.backend(leaves_after(b"second half"))
    stage.backend(recording(again, ok(b"third")))
    await stage.open(retry=asked(backoff_base_s=0.3, jitter=0.0, multiplier=1.0))
    client = await stage.client()
    request = put(b"first half, second half")
    await client.send(request[:-11])
    await until(lambda: stage.count(first, counters.RETRIES))
    await client.send(request[-11:])
    assert (await client.reply()).body == b"third"
    assert [message.body for message in again] == [b"first half, second half"]


async def test_client_that_leaves_unread_during_the_wait_costs_no_backend_a_request(stage: Stage) -> None:
    """What it sent meanwhile has stopped the reading, so that its end is found when the wait is over."""

    async def refuses_early(wire: Wire) -> None:
        await wire.until(b"first half, ")
        await wire.send(UNAVAILABLE)
        await wire.rest()

    first = stage.backend(refuses_early)
    second = stage.backend(serve(ok()))
    await stage.open(retry=asked(backoff_base_s=0.8, jitter=0.0))
    client = await stage.client()
    request = put(b"first half, second half")
    await client.send(request[:-11])
    await until(lambda: stage.count(first, counters.RETRIES))
    await client.send(request[-11:])
    (connection,) = stage.worker.connections
    await until(lambda: connection._paused_for)  # type: ignore[attr-defined]
    client.reset()
    await until(lambda: stage.whys == {Why.CLIENT_ABORT: 1})
    assert second.wires == []


async def test_early_refusal_takes_its_connection_with_it(stage: Stage) -> None:
    """The rest of the body would be read there as a request."""

    async def refuses_early(wire: Wire) -> None:
        await wire.until(b"first half, ")
        await wire.send(UNAVAILABLE)
        await wire.has_ended()

    again: list[Message] = []
    first = stage.backend(refuses_early)
    second = stage.backend(recording(again, ok(b"second")))
    await stage.open(retry=ON)
    client = await stage.client()
    request = put(b"first half, second half")
    await client.send(request[:-11])
    await until(lambda: second.wires and second.wires[0].seen)
    assert stage.of(first).idle == []
    await client.send(request[-11:])
    assert (await client.reply()).body == b"second"
    assert [message.body for message in again] == [b"first half, second half"]


async def test_backend_that_knows_no_expect_gets_its_body(stage: Stage) -> None:
    has_head = asyncio.Event()

    async def ignorant(wire: Wire) -> None:
        head = await wire.head()
        assert head is not None
        has_head.set()
        await wire.body(head)
        await wire.send(ok(head.body))
        await wire.has_ended()

    backend = stage.backend(ignorant)
    await stage.open(retry=asked(per_try_timeout_s=0.15))
    client = await stage.client()
    request = post(b"order", "Expect: 100-continue")
    await client.send(request[:-5])
    await has_head.wait()
    await asyncio.sleep(0.4)  # longer than a try may take, and shorter than curl waits for the go-ahead
    await client.send(request[-5:])
    assert (await client.reply()).status == 200
    assert stage.count(backend, counters.FAILURES) == 0


async def test_backend_that_gives_no_leave_to_go_on_is_left_too(stage: Stage) -> None:
    async def gives_leave(wire: Wire) -> None:
        head = await wire.head()
        assert head is not None
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.body(head)
        await wire.send(ok(head.body))
        await wire.has_ended()

    stage.backend(silent_after_head)
    stage.backend(gives_leave)
    await stage.open(retry=asked(per_try_timeout_s=0.1))
    client = await stage.client()
    request = put(b"body", "Expect: 100-continue")
    await client.send(request[:-4])
    assert (await client.reply()).status == 100
    await client.send(b"body")
    assert (await client.reply()).body == b"body"


@pytest.mark.parametrize("streamed", [False, True])
async def test_body_that_is_too_long_to_be_kept_is_not_sent_again(stage: Stage, streamed: bool) -> None:
    requests, first, second = pair(stage, UNAVAILABLE)
    await stage.open(retry=ON)
    client = await stage.client()
    request = put(b"x" * REPLAY_LIMIT)
    if streamed:
        await client.send(request[:1000])
        await until(lambda: first.wires and first.wires[0].seen)
        request = request[1000:]
    await client.send(request)
    assert (await client.reply()).status == 503
    assert (len(requests), second.wires) == (1, [])
    assert stage.skipped == {RetryOutcome.BODY: 1}


async def test_post_is_not_kept_while_it_streams(stage: Stage) -> None:
    first = stage.backend(serve(ok()))
    await stage.open(retry=ON)
    client = await stage.client()
    await client.send(post(b"x" * 1000)[:-500])
    await until(lambda: first.wires and first.wires[0].seen)
    (connection,) = stage.worker.connections
    assert connection._exchange.upload.kept is None  # type: ignore[attr-defined]


# --- what is passed on --------------------------------------------------------------------------------------


async def test_backend_that_asks_for_time_gets_it(stage: Stage) -> None:
    requests, _, second = pair(stage, UNAVAILABLE.replace(b"\r\n\r\n", b"\r\nRetry-After: 5\r\n\r\n"))
    await stage.open(retry=ON)
    reply = await ask(stage, get())
    assert (reply.status, reply.get("retry-after"), reply.body) == (503, "5", b"down")
    assert (len(requests), second.wires) == (1, [])
    assert stage.skipped == {RetryOutcome.RETRY_AFTER: 1}


async def test_status_that_nobody_named_is_a_reply_like_any_other(stage: Stage) -> None:
    requests, _, _ = pair(stage, UNAVAILABLE.replace(b"503", b"500"))
    await stage.open(retry=ON)
    assert (await ask(stage, get())).status == 500
    assert stage.skipped == {}
    assert len(requests) == 1


async def test_without_a_budget_the_reply_is_passed_on(stage: Stage) -> None:
    _, _, second = pair(stage, UNAVAILABLE)
    await stage.open(retry=asked(budget=RetryBudget(0.0, 0)))
    reply = await ask(stage, get())
    assert (reply.status, reply.body) == (503, b"down")
    assert second.wires == []
    assert stage.skipped == {RetryOutcome.BUDGET: 1}


async def test_requests_pay_for_retries(stage: Stage) -> None:
    """With a ratio of a half and no floor, every second failure can be made up for."""
    for _ in range(2):
        stage.backend(serve(UNAVAILABLE))
    await stage.open(retry=asked(max_attempts=2, budget=RetryBudget(0.5, 0)))
    client = await stage.client()
    for _ in range(10):
        await client.send(get())
        assert (await client.reply()).status == 503
    assert sum(stage.count(backend, counters.RETRIES) for backend in stage.backends) == 5
    assert stage.skipped == {RetryOutcome.BUDGET: 5, RetryOutcome.ATTEMPTS: 5}


async def test_retries_in_flight_are_a_share_of_what_is_in_flight(stage: Stage) -> None:
    """A fifth of 40 that hang, one that fails, and those that wait: with 10 of them there is room for no more."""

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            if request.target == "/fails":
                await wire.send(UNAVAILABLE)

    backend = stage.backend(script)
    await stage.open(retry=SLOW)
    for _ in range(40):
        await (await stage.client()).send(get("/hangs"))
    await until(lambda: stage.active == 40)
    for _ in range(12):
        await (await stage.client()).send(get("/fails"))
    await until(lambda: stage.count(backend, counters.RETRIES) + stage.skipped.get(RetryOutcome.BUDGET, 0) == 12)
    assert stage.count(backend, counters.RETRIES) == 10
    assert stage.skipped == {RetryOutcome.BUDGET: 2}


async def test_what_requests_paid_is_dated_while_nothing_fails(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(retry=asked(budget=RetryBudget(1.0, 0)))
    assert (await ask(stage, get())).status == 200
    retrying = stage.snapshot.retrying["pool"]
    await until(lambda: not retrying.budget.requests)
    assert retrying.budget.available(stage.loop.time()) == 1


async def test_retry_is_in_flight_until_its_reply_begins(stage: Stage) -> None:
    """Not while it lasts: here it is a tunnel."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(switch)
        await wire.has_ended()

    stage.backend(serve(UNAVAILABLE))
    stage.backend(script)
    await stage.open(retry=ON)
    client = await stage.client()
    await client.send(get("/", "Connection: Upgrade", "Upgrade: websocket"))
    assert (await client.reply()).status == 101
    assert stage.snapshot.retrying["pool"].budget.in_flight == 0
    assert stage.active == 1


async def test_wait_that_would_outlast_the_request_is_not_begun(stage: Stage) -> None:
    pair(stage, UNAVAILABLE)
    await stage.open(retry=SLOW, timeouts=Timeouts(request_s=5.0))
    reply = await ask(stage, get())
    assert (reply.status, reply.body) == (503, b"down")
    assert stage.skipped == {RetryOutcome.DEADLINE: 1}


async def test_all_tries_share_the_request_s_time(stage: Stage) -> None:
    for _ in range(3):
        stage.backend(silent([]))
    await stage.open(retry=asked(per_try_timeout_s=0.2, max_attempts=100), timeouts=Timeouts(request_s=0.5))
    assert (await ask(stage, get())).status == 504
    assert stage.whys in ({Why.TOTAL_TIMEOUT: 1}, {Why.RESPONSE_HEADER_TIMEOUT: 1})
    assert sum(stage.count(backend, counters.RETRIES) for backend in stage.backends) <= 3


async def test_reply_that_has_begun_is_not_made_good(stage: Stage) -> None:
    async def breaks_off(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    async def breaks_off_in_the_head(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nConte")

    async def breaks_off_after_a_hint(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    async def fails_after_a_hint(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + UNAVAILABLE)
        await wire.has_ended()

    for script in (breaks_off, breaks_off_in_the_head, breaks_off_after_a_hint, fails_after_a_hint):
        stage.backend(script)
    await stage.open(retry=ON)
    for expected in (b"half", b"502 Bad Gateway", b"502 Bad Gateway", b"\r\n\r\ndown"):
        client = await stage.client()
        await client.send(get())
        assert expected in await client.until(expected)
        client.close()
    await until(lambda: stage.skipped == {RetryOutcome.BEGUN: 4})
    assert [len(backend.wires) for backend in stage.backends] == [1, 1, 1, 1]


# --- which backend, and when ----------------------------------------------------------------------------------


async def test_each_try_is_at_another_backend(stage: Stage) -> None:
    requests: list[list[Message]] = [[], [], []]
    for seen in requests:
        stage.backend(recording(seen, UNAVAILABLE))
    await stage.open(retry=ON)
    assert (await ask(stage, get())).status == 503
    assert [len(seen) for seen in requests] == [1, 1, 1]
    assert stage.skipped == {RetryOutcome.ATTEMPTS: 1}
    assert stage.whys == {Why.OK: 1}


async def test_when_all_were_tried_none_is_asked_twice_in_a_row(stage: Stage) -> None:
    order: list[int] = []

    def script(number: int) -> Script:
        def answer(request: Message) -> bytes:
            order.append(number)
            return UNAVAILABLE

        return serve(answer)

    for number in (1, 2):
        stage.backend(script(number))
    await stage.open(retry=asked(max_attempts=5))
    assert (await ask(stage, get())).status == 503
    assert order == [1, 2, 1, 2, 1]


async def test_turns_that_others_took_meanwhile_lead_to_no_backend_twice_in_a_row(stage: Stage) -> None:
    order: list[int] = []

    def script(number: int) -> Script:
        def answer(request: Message) -> bytes:
            if request.target == "/other":
                return ok()
            order.append(number)
            return UNAVAILABLE

        return serve(answer)

    for number in (1, 2):
        stage.backend(script(number))
    await stage.open(retry=asked(backoff_base_s=0.4, jitter=0.0))
    client = await stage.client()
    await client.send(get())
    await until(lambda: order == [1, 2])
    assert (await ask(stage, get("/other"))).status == 200
    assert (await client.reply()).status == 503
    assert order == [1, 2, 1]


async def test_waits_grow(stage: Stage) -> None:
    """The second would outlast the request."""
    for _ in range(3):
        stage.backend(serve(UNAVAILABLE))
    retry = asked(backoff_base_s=0.05, backoff_max_s=60.0, multiplier=1000.0, jitter=0.0)
    await stage.open(retry=retry, timeouts=Timeouts(request_s=15.0))
    assert (await ask(stage, get())).status == 503
    assert sum(stage.count(backend, counters.RETRIES) for backend in stage.backends) == 1
    assert stage.skipped == {RetryOutcome.DEADLINE: 1}


@pytest.mark.parametrize("how", ["reset", "503"])
async def test_lone_backend_is_asked_again_after_a_wait(stage: Stage, how: str) -> None:
    seen: list[str] = []

    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            seen.append(request.target)
            if len(seen) == 1:
                if how == "reset":
                    return
                await wire.send(UNAVAILABLE)
            else:
                await wire.send(ok(b"well again"))

    stage.backend(script)
    await stage.open(retry=ON)
    assert (await ask(stage, get("/x"))).body == b"well again"
    assert seen == ["/x", "/x"]


@pytest.mark.parametrize("reply", [None, UNAVAILABLE], ids=["reset", "503"])
async def test_backend_is_asked_again_where_the_only_other_is_on_trial_and_lets_nobody_in(
    stage: Stage, reply: bytes | None
) -> None:
    replies = iter([reply, ok(b"well")])

    async def flaky(wire: Wire) -> None:
        while await wire.request() is not None:
            said = next(replies)
            if said is None:
                return
            await wire.send(said)

    flaking, trying = stage.backend(flaky), stage.backend(silent_after_head)
    breaker = CircuitBreaker(enabled=True, failure_threshold=1, timeout_s=0.0)
    await stage.open(retry=asked(backoff_base_s=0.01), breaker=breaker)
    stage.half_open(trying)
    pool = stage.pool
    trial = pool.acquire(b"", 1.0, [stage.of(flaking)])
    assert trial is not None
    assert (await ask(stage, get())).body == b"well"
    assert trying.wires == []
    assert stage.skipped == {}
    trial.release(Outcome.ABORTED, 1.0)


async def test_lone_backend_that_refuses_is_not(stage: Stage) -> None:
    await stage.open(stage.refusing(), retry=ON)
    assert (await ask(stage, get())).status == 502
    assert stage.skipped == {RetryOutcome.NOBODY: 1}


@pytest.mark.parametrize(
    ("count", "again"),
    [(2, RetryOutcome.NOBODY), (4, RetryOutcome.NOBODY), (5, RetryOutcome.ATTEMPTS), (7, RetryOutcome.ATTEMPTS)],
)
async def test_when_all_refuse_the_client_is_told_so(stage: Stage, count: int, again: RetryOutcome) -> None:
    await stage.open(*(stage.refusing() for _ in range(count)), retry=ON)
    assert (await ask(stage, post(b"x"))).status == 502
    assert stage.whys == {Why.CONNECT_REFUSED: 1}
    assert stage.skipped == {again: 1}
    assert sum(stage.cell(backend.block + counters.CONNECTS) for backend in stage.backend_states) == min(count, 5)


async def test_tries_are_as_many_as_is_said(stage: Stage) -> None:
    for _ in range(6):
        stage.backend(scripts.says_and_resets())
    await stage.open(*(stage.refusing() for _ in range(2)), retry=asked(max_attempts=4, backoff_base_s=0.001))
    assert (await ask(stage, get())).status == 502
    assert sum(stage.cell(backend.block + counters.CONNECTS) for backend in stage.backend_states) == 2 + 4
    assert sum(stage.cell(backend.block + counters.CONNECT_FAILURES) for backend in stage.backend_states) == 2


async def test_first_move_away_from_a_dead_backend_is_at_once_and_free(stage: Stage) -> None:
    stage.backend(serve(ok(b"second")))
    await stage.open(
        stage.refusing(),
        retry=asked(backoff_base_s=60.0, backoff_max_s=60.0, jitter=0.0, budget=RetryBudget(0.0, 0)),
    )
    assert (await ask(stage, get())).body == b"second"


async def test_backend_that_went_away_during_the_wait_is_not_asked(stage: Stage) -> None:
    first = stage.backend(recording([], None))
    await stage.open(retry=asked(backoff_base_s=0.6, jitter=0.0))
    client = await stage.client()
    await client.send(get())
    await until(lambda: stage.count(first, counters.RETRIES))
    stage.listener_server.set_ready(stage.of(first).slot, False)
    assert (await client.reply()).status == 502
    assert len(first.wires) == 1
    assert stage.whys == {Why.RESET_BEFORE_RESPONSE: 1}
    assert stage.skipped == {RetryOutcome.NOBODY: 1}


async def test_reply_was_passed_over_and_then_nobody_is_left(stage: Stage) -> None:
    first = stage.backend(serve(UNAVAILABLE))
    await stage.open(retry=asked(backoff_base_s=0.6, jitter=0.0))
    client = await stage.client()
    await client.send(get())
    await until(lambda: stage.count(first, counters.RETRIES))
    stage.listener_server.set_ready(stage.of(first).slot, False)
    assert (await client.reply()).status == 503
    assert stage.whys == {Why.NO_HEALTHY: 1}


# --- the wait -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
async def test_client_that_leaves_during_the_wait_ends_it(stage: Stage, how: str) -> None:
    _, first, second = pair(stage, UNAVAILABLE)
    await stage.open(retry=SLOW)
    client = await stage.client()
    await client.send(get())
    await until(lambda: stage.count(first, counters.RETRIES))
    assert stage.active == 0  # nothing is held while it waits
    getattr(client, how)()
    await until(lambda: stage.whys == {Why.CLIENT_ABORT: 1})
    await stage.settled()
    assert second.wires == []


async def test_drain_s_deadline_ends_a_wait(stage: Stage) -> None:
    _, first, _ = pair(stage, UNAVAILABLE)
    await stage.open(retry=SLOW)
    client = await stage.client()
    await client.send(get())
    await until(lambda: stage.count(first, counters.RETRIES))
    await stage.listener_server.drain(0.1)
    assert stage.whys == {Why.DRAINING: 1}


async def test_requests_that_follow_in_the_same_bytes_keep_their_order(stage: Stage) -> None:
    for _ in range(2):
        seen: list[str] = []

        def answer(request: Message, seen: list[str] = seen) -> bytes:
            seen.append(request.target)
            return UNAVAILABLE if len(seen) == 1 else ok(request.target.encode())

        stage.backend(serve(answer))
    await stage.open(retry=ON)
    client = await stage.client()
    await client.send(b"".join(get(f"/{number}") for number in range(4)))
    assert [(await client.reply()).body for _ in range(4)] == [b"/0", b"/1", b"/2", b"/3"]


# --- what is said of it -------------------------------------------------------------------------------------


async def told(stage: Stage, count: int) -> list[dict[str, Any]]:
    path = stage.folder / "access.log"
    await until(lambda: path.read_text().count("\n") >= count)
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_access_line_says_what_became_of_the_try_that_failed(stage: Stage) -> None:
    pair(stage, None)
    log = AccessLog(enabled=True, output=str(stage.folder / "access.log"))
    await stage.open(retry=ON, access=log)
    assert (await ask(stage, get())).status == 200  # the first is tried, then the second
    assert (await ask(stage, post(b"x"))).status == 502
    assert (await ask(stage, post(b"x"))).status == 200
    lines = [(line["why"], line["status"], line["attempts"], line["retry"], line["backend"]) for line in await told(stage, 3)]
    assert lines == [
        ("ok", 200, 2, "made", "n2"),
        ("reset_before_response", 502, 1, "method", "n1"),
        ("ok", 200, 1, "", "n2"),
    ]


async def test_race_that_was_lost_is_no_try(stage: Stage) -> None:
    """A reused connection that dies is replaced although one try is all there may be."""

    async def script(wire: Wire) -> None:
        request = await wire.request()
        assert request is not None
        await wire.send(ok(request.target.encode()))
        await wire.request()

    backend = stage.backend(script)
    await stage.open(retry=asked(max_attempts=1))
    client = await stage.client()
    for number in range(3):
        await client.send(get(f"/{number}"))
        assert (await client.reply()).body == b"/%d" % number
    assert stage.count(backend, counters.FAILURES) == 0
    assert stage.skipped == {}


async def test_race_that_was_lost_uses_up_no_try(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(ok(b"first") if wire.number == 0 else UNAVAILABLE)
        await wire.request()

    stage.backend(script)
    stage.backend(serve(ok(b"second")))
    await stage.open(retry=asked(max_attempts=2))
    client = await stage.client()
    for expected in (b"first", b"second", b"second"):  # the last: a race, a fresh connection that says 503, the other backend
        await client.send(get())
        assert (await client.reply()).body == expected
    assert len(stage.backends[0].wires) == 2


async def test_whatever_fails_no_post_is_delivered_twice_and_no_put_is_changed(stage: Stage) -> None:
    """Backends that refuse with a status, break off before and after they have read, or answer; and what they saw."""
    rand = random.Random(3)
    seen: Counter[str] = Counter()
    bodies: dict[str, bytes] = {}

    async def script(wire: Wire) -> None:
        while True:
            how = rand.random()
            if how < 0.1:
                await wire.some(10)
                return
            request = await wire.request()
            if request is None:
                return
            seen[request.target] += 1
            assert bodies.setdefault(request.target, request.body) == request.body == request.target.encode() * 30
            if how < 0.2:
                wire.reset()
                return
            await wire.send(UNAVAILABLE if how < 0.4 else ok(request.target.encode()))

    for _ in range(3):
        stage.backend(script)
    retry = asked(max_attempts=10, backoff_base_s=0.001, budget=RetryBudget(1.0, 100_000))
    await stage.open(retry=retry)
    statuses: dict[str, Counter[int]] = {"POST": Counter(), "PUT": Counter()}
    numbers = iter(range(300))

    async def run() -> None:
        for number in numbers:
            method = "POST" if number % 3 else "PUT"
            target = f"/{method}/{number}"
            client = await stage.client()
            request = post(target.encode() * 30, target=target).replace(b"POST /", f"{method} /".encode(), 1)
            at = rand.randrange(len(request))
            await client.send(request[:at])
            await asyncio.sleep(0)
            await client.send(request[at:])
            reply = await client.reply()
            statuses[method][reply.status] += 1
            assert reply.status != 200 or reply.body == target.encode()
            client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(run())
    assert max(count for target, count in seen.items() if target.startswith("/POST")) == 1
    assert statuses["POST"].keys() == {200, 502, 503}
    assert max(count for target, count in seen.items() if target.startswith("/PUT")) > 1  # so it was put to the test
    assert statuses["PUT"][200] >= 95  # of 100; ten tries may all fail
