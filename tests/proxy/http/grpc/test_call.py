"""Calls of gRPC-Web, which go to backends as gRPC: what each side gets, deadlines, retries, and who is to blame.

They come over HTTP/1 here, and so do the backend's replies: what is judged is the same as of calls over HTTP/2.
"""

import asyncio
import base64
import json

import pytest
from rawclient import Message, Wire, chunked
from scripts import says_and_waits
from stage import Stage, serve, until

from balance.config.model import (
    AccessLog,
    CircuitBreaker,
    ConnectionProtection,
    HealthCheck,
    HttpConfig,
    PassiveChecks,
    Retry,
    RetryBudget,
    Timeouts,
)
from balance.config.route_model import Buffering
from balance.grpc.deadline import read_timeout_s
from balance.grpc.web_frames import TextDecoder, trailers_frame
from balance.health.circuit_breaker import BreakerState
from balance.model import Why
from balance.retry.decision import RetryOutcome
from balance.runtime import counters

WEB = HttpConfig(grpc_web=True)
MESSAGE = b"\x00\x00\x00\x00\x03abc"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n"


def call(*fields: str, body: bytes = MESSAGE, kind: str = "application/grpc-web+proto", length: int = -1) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    size = len(body) if length < 0 else length
    head = f"POST /pkg.Service/Method HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n{lines}Content-Length: {size}\r\n\r\n"
    return head.encode() + body


def answer(status: int = 0, *messages: bytes, trailers: bytes = b"") -> bytes:
    return HEAD + chunked(*(messages or (MESSAGE,)), trailers=b"grpc-status: %d\r\n%b" % (status, trailers))


def trailers_only(status: int, *lines: bytes) -> bytes:
    more = b"".join(line + b"\r\n" for line in lines)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: %d\r\n%bContent-Length: 0\r\n\r\n" % (
        status,
        more,
    )


async def ask(stage: Stage, request: bytes) -> Message:
    client = await stage.client()
    await client.send(request)
    return await client.reply()


def recording(requests: list[Message], *replies: bytes) -> object:
    left = list(replies)

    def next_reply(request: Message) -> bytes:
        requests.append(request)
        return left.pop(0) if len(left) > 1 else left[0]

    return serve(next_reply)


# --- what passes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_call_of_the_web_is_one_of_grpc_to_the_backend(stage: Stage, is_chunked: bool) -> None:
    seen: list[Message] = []
    stage.backend(recording(seen, answer(trailers=b"grpc-message: fine\r\n")))
    await stage.open(http=WEB)
    request = call("X-Own: 1", "grpc-timeout: 5S")
    if is_chunked:
        request = request.replace(
            b"Content-Length: 8\r\n\r\n" + MESSAGE, b"Transfer-Encoding: chunked\r\n\r\n" + chunked(MESSAGE)
        )
    reply = await ask(stage, request)
    (sent,) = seen
    assert (sent.get("content-type"), sent.get("te"), sent.get("x-own"), sent.body) == (
        "application/grpc+proto",
        "trailers",
        "1",
        MESSAGE,
    )
    assert 4.9 < read_timeout_s((sent.get("grpc-timeout") or "").encode()) <= 5
    assert (reply.status, reply.get("content-type")) == (200, "application/grpc-web+proto")
    assert reply.body == MESSAGE + trailers_frame(b"grpc-status: 0\r\ngrpc-message: fine\r\n")


async def test_a_call_in_base64_is_decoded_and_its_reply_encoded(stage: Stage) -> None:
    seen: list[Message] = []
    body = MESSAGE + b"more than a group of three"
    stage.backend(recording(seen, answer(0, MESSAGE, b"and more")))
    await stage.open(http=WEB)
    text = base64.b64encode(body)
    client = await stage.client()
    for _ in range(2):
        await client.send(call(body=text, kind="application/grpc-web-text")[:-5])
        await client.send(text[-5:])
        reply = await client.reply()
        assert reply.get("content-type") == "application/grpc-web-text+proto"
        decoder = TextDecoder()
        assert decoder.feed(reply.body) == MESSAGE + b"and more" + trailers_frame(b"grpc-status:0\r\n")
    assert [each.body for each in seen] == [body] * 2
    assert seen[0].get("content-type") == "application/grpc"
    assert seen[0].get("content-length") is None


@pytest.mark.parametrize("body", [b"!!!!", b"YWJ"])
async def test_a_body_that_is_not_base64_is_refused(stage: Stage, body: bytes) -> None:
    stage.backend(serve(answer()))
    await stage.open(http=WEB)
    reply = await ask(stage, call(body=body, kind="application/grpc-web-text"))
    assert (reply.status, reply.get("grpc-status")) == (200, "13")
    assert stage.whys == {Why.BAD_REQUEST: 1}


async def test_messages_pass_as_they_come_and_large_ones_too(stage: Stage) -> None:
    go = asyncio.Event()
    big = bytes(range(256)) * 4000

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(HEAD + chunked(MESSAGE)[:-5])
        await go.wait()
        await wire.send(chunked(big, trailers=b"grpc-status: 0\r\n"))

    stage.backend(script)
    await stage.open(http=WEB)
    client = await stage.client()
    await client.send(call())
    await client.head()
    first = chunked(MESSAGE)[:-5]
    assert await client.exactly(len(first)) == first
    go.set()
    await client.until(b"\r\n0\r\n\r\n")
    await until(lambda: stage.whys == {Why.OK: 1})


async def test_trailers_only_stays_so(stage: Stage) -> None:
    stage.backend(serve(trailers_only(5, b"grpc-message: none of that name")))
    await stage.open(http=WEB)
    reply = await ask(stage, call())
    assert (reply.status, reply.get("grpc-status"), reply.get("grpc-message"), reply.body) == (
        200,
        "5",
        "none of that name",
        b"",
    )
    assert reply.get("content-type") == "application/grpc-web"


async def test_without_the_key_a_call_of_the_web_passes_as_it_is(stage: Stage) -> None:
    seen: list[Message] = []
    stage.backend(recording(seen, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    await stage.open()
    assert (await ask(stage, call())).body == b"ok"
    assert seen[0].get("content-type") == "application/grpc-web+proto"
    assert seen[0].get("te") is None


async def test_a_call_is_not_held_for_its_end(stage: Stage) -> None:
    """A conversation would wait for ever."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(HEAD + chunked(MESSAGE)[:-5])
        await wire.rest()

    stage.backend(script)
    await stage.open(http=HttpConfig(grpc_web=True, buffering=Buffering(request_bytes=100_000)))
    client = await stage.client()
    await client.send(call(length=1000))
    assert b"grpc-web" in await client.until(b"\r\n\r\n")


# --- our own errors ----------------------------------------------------------------------------------------


async def test_an_error_of_ours_is_a_grpc_status(stage: Stage) -> None:
    await stage.open(stage.refusing(), http=WEB)
    client = await stage.client()
    for _ in range(2):  # the connection goes on
        await client.send(call())
        reply = await client.reply()
        assert (reply.status, reply.get("content-type"), reply.get("grpc-status"), reply.body) == (
            200,
            "application/grpc-web+proto",
            "14",
            b"",
        )
        assert reply.get("grpc-message") == "the backend could not be reached (connect_refused)"
    assert stage.whys == {Why.CONNECT_REFUSED: 2}


# --- deadlines ---------------------------------------------------------------------------------------------


async def test_a_call_ends_at_its_deadline_and_the_backend_that_had_the_time_is_to_blame(stage: Stage) -> None:
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.has_ended()
        ended.set()

    stage.backend(script)
    await stage.open(http=WEB)
    reply = await ask(stage, call("grpc-timeout: 150m"))
    assert (reply.get("grpc-status"), reply.get("grpc-message")) == ("4", "the request took too long (total_timeout)")
    await ended.wait()
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 1


async def test_without_a_deadline_no_timeout_but_that_of_silence_ends_a_call(stage: Stage) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        await wire.send(answer())

    stage.backend(script)
    slow = ConnectionProtection(enabled=True, min_body_rate=1000, min_body_rate_grace_s=0.1)
    await stage.open(http=WEB, timeouts=Timeouts(request_s=0.1, read_s=0.1, client_body_s=0.1), protection=slow)
    client = await stage.client()
    await client.send(call()[:-1])
    await until(lambda: stage.active)
    await asyncio.sleep(0.5)
    await client.send(call()[-1:])
    go.set()
    assert (await client.reply()).status == 200
    assert stage.whys == {Why.OK: 1}


async def test_silence_of_both_sides_ends_a_call_and_is_nobodys_fault(stage: Stage) -> None:
    stage.backend(says_and_waits())
    await stage.open(http=WEB, timeouts=Timeouts(tunnel_s=0.15))
    reply = await ask(stage, call(length=1000))  # the client has more to say
    assert reply.get("grpc-status") == "14"
    assert stage.whys == {Why.IDLE_TIMEOUT: 1}
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 0


async def test_timeouts_request_bounds_the_deadlines_of_clients(stage: Stage) -> None:
    stage.backend(says_and_waits())
    await stage.open(http=WEB, timeouts=Timeouts(request_s=0.15))
    assert (await ask(stage, call("grpc-timeout: 1H"))).get("grpc-status") == "4"


async def test_a_client_that_gives_up_at_its_deadline_blames_the_backend(stage: Stage) -> None:
    """Clients have the same deadline, and mostly are first."""
    stage.backend(says_and_waits())
    await stage.open(http=WEB)
    client = await stage.client()
    await client.send(call("grpc-timeout: 500m"))
    await asyncio.sleep(0.48)
    client.close()
    await until(lambda: stage.whys == {Why.TOTAL_TIMEOUT: 1})
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 1


# --- retries -----------------------------------------------------------------------------------------------

ON = Retry(on=("unavailable",), backoff_base_s=0.06, jitter=0.0)


async def test_a_listed_status_is_tried_again_with_the_time_that_is_left(stage: Stage) -> None:
    first: list[Message] = []
    second: list[Message] = []
    stage.backend(recording(first, trailers_only(14)))
    stage.backend(recording(second, answer()))
    await stage.open(http=WEB, retry=ON)
    reply = await ask(stage, call("grpc-timeout: 5S"))
    assert reply.body.startswith(MESSAGE)
    assert read_timeout_s((first[0].get("grpc-timeout") or "").encode()) > 4.9
    assert first[0].get("grpc-previous-rpc-attempts") is None
    assert 4 < read_timeout_s((second[0].get("grpc-timeout") or "").encode()) <= 4.94
    assert second[0].get("grpc-previous-rpc-attempts") == "1"
    assert second[0].body == MESSAGE
    assert stage.cell(stage.backend_states[0].block + counters.RETRIES) == 1
    assert stage.cell(stage.backend_states[0].block + counters.FAILURES) == 1


async def test_a_reply_that_was_passed_over_leaves_nothing_to_the_one_that_follows(stage: Stage) -> None:
    """The first would have been encoded for a client of the web; the second is no reply of gRPC, and goes on as it is."""
    stage.backend(serve(HEAD.replace(b"200 OK", b"503 No") + chunked(MESSAGE)))
    stage.backend(serve(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nplain"))
    await stage.open(http=WEB, retry=Retry(on=(503,), backoff_base_s=0.01))
    reply = await ask(stage, call("Idempotency-Key: a"))
    assert (reply.status, reply.get("content-type"), reply.body) == (200, "text/plain", b"plain")


async def test_tries_that_the_client_has_made_are_added(stage: Stage) -> None:
    second: list[Message] = []
    stage.backend(serve(trailers_only(14)))
    stage.backend(recording(second, answer()))
    await stage.open(http=WEB, retry=ON)
    await ask(stage, call("grpc-previous-rpc-attempts: 2"))
    assert second[0].get("grpc-previous-rpc-attempts") == "3"


@pytest.mark.parametrize(
    ("reply", "retry", "reason"),
    [
        (trailers_only(13), ON, RetryOutcome.OFF),
        (trailers_only(14), Retry(), RetryOutcome.OFF),
        (answer(14), ON, RetryOutcome.OFF),
        (trailers_only(14, b"grpc-retry-pushback-ms: -1"), ON, RetryOutcome.RETRY_AFTER),
        (trailers_only(14, b"grpc-retry-pushback-ms: soon"), ON, RetryOutcome.RETRY_AFTER),
        (trailers_only(14, b"grpc-retry-pushback-ms: 3600000"), ON, RetryOutcome.RETRY_AFTER),
        (trailers_only(14), Retry(on=("unavailable",), budget=RetryBudget(0.0, 0)), RetryOutcome.BUDGET),
    ],
)
async def test_else_the_status_is_passed_on(stage: Stage, reply: bytes, retry: Retry, reason: RetryOutcome) -> None:
    stage.backend(serve(reply))
    stage.backend(serve(answer()))
    await stage.open(http=WEB, retry=retry)
    got = await ask(stage, call())
    assert got.get("grpc-status") in ("13", "14") or b"grpc-status:14" in got.body
    assert stage.skipped == ({reason: 1} if reason is not RetryOutcome.OFF else {})
    assert stage.cell(stage.backend_states[0].block + counters.RETRIES) == 0


async def test_a_server_that_asks_for_time_gets_it(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def first(request: Message) -> bytes:
        times.append(loop.time())
        return trailers_only(14, b"grpc-retry-pushback-ms: 300")

    def second(request: Message) -> bytes:
        times.append(loop.time())
        return answer()

    stage.backend(serve(first))
    stage.backend(serve(second))
    await stage.open(http=WEB, retry=ON)
    assert (await ask(stage, call())).body.startswith(MESSAGE)
    assert times[1] - times[0] >= 0.3


async def test_a_body_that_is_too_long_to_be_kept_is_sent_once(stage: Stage) -> None:
    stage.backend(serve(trailers_only(14)))
    stage.backend(serve(answer()))
    await stage.open(http=WEB, retry=ON)
    assert (await ask(stage, call(body=b"x" * 70_000))).get("grpc-status") == "14"
    assert stage.skipped == {RetryOutcome.BODY: 1}


# --- evidence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "is_blamed"),
    [
        (answer(0), False),
        (answer(14), True),
        (trailers_only(14), True),
        (trailers_only(4), True),
        (answer(2), False),  # as 500 is, which passive checks count where they are asked to
        (trailers_only(5), False),
        (trailers_only(8), False),
        (HEAD + chunked(MESSAGE), True),  # no status at all
    ],
)
async def test_the_status_at_the_end_is_evidence(stage: Stage, reply: bytes, is_blamed: bool) -> None:
    stage.backend(serve(reply))
    await stage.open(http=WEB, health_check=HealthCheck(passive=PassiveChecks()))
    client = await stage.client()
    await client.send(call())
    await client.reply()
    assert stage.cell(stage.backend_states[0].block + counters.BLAMED) == is_blamed
    assert stage.whys == {Why.OK: 1}


@pytest.mark.parametrize(("status", "is_blamed"), [(2, True), (13, True), (15, True), (3, False)])
async def test_what_counts_500_counts_the_statuses_that_are_one(stage: Stage, status: int, is_blamed: bool) -> None:
    stage.backend(serve(answer(status)))
    await stage.open(http=WEB, health_check=HealthCheck(passive=PassiveChecks(count=(500,))))
    await ask(stage, call())
    assert stage.cell(stage.backend_states[0].block + counters.BLAMED) == is_blamed


async def test_the_first_message_passes_the_trial_of_a_breaker_that_others_wait_for(stage: Stage) -> None:
    backend = stage.backend(says_and_waits(HEAD, chunked(MESSAGE)[:-5]))
    await stage.open(http=WEB, breaker=CircuitBreaker(enabled=True, failure_threshold=1, success_threshold=1))
    gate = stage.half_open(backend)
    client = await stage.client()
    await client.send(call())
    await client.until(MESSAGE)
    assert gate.breaker is not None
    assert gate.breaker.state is BreakerState.CLOSED
    assert stage.active == 1


# --- what is told of it ------------------------------------------------------------------------------------


async def test_calls_are_counted_and_logged_by_their_status(stage: Stage) -> None:
    path = stage.folder / "access.log"
    stage.backend(recording([], answer(0), answer(5), trailers_only(16)))
    await stage.open(http=WEB, access=AccessLog(enabled=True, output=str(path)))
    for _ in range(3):
        await ask(stage, call())
    slot = stage.backend_states[0].slot
    for status in (0, 5, 16):
        key = counters.series_key(slot, counters.GRPC_CALLS, status)
        pairs = {stage.cell(at): stage.cell(at + 1) for at in counters.series_pairs(stage.row.cells)}
        assert pairs[key] == 1
    await until(lambda: path.exists() and len(path.read_text().splitlines()) == 3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["grpc_status"] for line in lines] == ["OK", "NOT_FOUND", "UNAUTHENTICATED"]
