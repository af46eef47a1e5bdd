"""Spans are sent in the background; a receiver that is down, slow, wrong or silent costs spans alone, and is told once."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from otlp_receiver import OK, HttpReceiver, Reply, Silent, rejecting

from balance.proxy.tracing.exporter import BATCH, MAX_WAITING, Exporter
from balance.proxy.tracing.otlp_http import HttpReceiver as Http
from balance.tracing.endpoint import parse_endpoint
from balance.tracing.http_spans import FinishedRequest
from balance.tracing.otlp import Resource
from balance.tracing.propagation import Propagation
from balance.tracing.trace_start import TraceStart

START = TraceStart(Propagation(("w3c",)), 1.0)


def request(path: str = "/") -> FinishedRequest:
    return FinishedRequest(
        START.begin(), 1.0, 2.0, 1.7e9, "GET", path, "http", "a.example", "1.1", "192.0.2.1", "192.0.2.1", "", "", 200, "ok",
        False, "pool", "b1", "", "", "",
    )  # fmt: skip


def run(endpoint: str, test: Callable[[Exporter], Awaitable[None]]) -> Exporter:
    """`test` with an exporter to this endpoint, which is closed in the end."""
    made: list[Exporter] = []

    async def main() -> None:
        receiver = Http(parse_endpoint(endpoint), [("Authorization", "Bearer s3cret")])
        exporter = Exporter(asyncio.get_running_loop(), receiver, Resource([], "balance", "1"), lambda: 0.0, 0.01)
        made.append(exporter)
        try:
            await test(exporter)
        finally:
            await exporter.close(2.0)

    asyncio.run(main())
    return made[0]


@pytest.fixture
def answers() -> Iterator[Callable[..., HttpReceiver]]:
    made: list[HttpReceiver] = []

    def receiver(*replies: Reply) -> HttpReceiver:
        """One that gives these replies in turn, and the last one from then on."""
        made.append(HttpReceiver(lambda number: replies[min(number, len(replies) - 1)]))
        return made[-1]

    yield receiver
    for each in made:
        each.close()


async def done(exporter: Exporter, count: int) -> None:
    async with asyncio.timeout(20):
        while exporter.exported + exporter.dropped < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_waits_is_sent_in_one_request(answers: Callable[..., HttpReceiver]) -> None:
    receiver = answers(OK)

    async def test(exporter: Exporter) -> None:
        for number in range(20):
            exporter.add(request(f"/{number}"))
        await done(exporter, 20)

    exporter = run(receiver.endpoint, test)
    assert (exporter.exported, exporter.dropped) == (20, 0)
    (head,) = receiver.heads
    assert head[0] == "/v1/traces" and head[1]["content-type"] == "application/x-protobuf"
    assert head[1]["authorization"] == "Bearer s3cret" and head[1]["user-agent"].startswith("balance/")


def test_a_full_batch_does_not_wait_and_the_end_sends_the_rest(answers: Callable[..., HttpReceiver]) -> None:
    receiver = answers(OK)

    async def test(exporter: Exporter) -> None:
        for _ in range(BATCH + 1):
            exporter.add(request())
        await done(exporter, BATCH)
        exporter.add(request())

    assert run(receiver.endpoint, test).exported == BATCH + 2
    assert len(receiver.spans) == BATCH + 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_be_tried_again_is(
    answers: Callable[..., HttpReceiver], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = answers((status, b"", {}), (status, b"", {"Retry-After": "0"}), OK)

    async def test(exporter: Exporter) -> None:
        exporter.add(request())
        await done(exporter, 1)

    exporter = run(receiver.endpoint, test)
    assert (exporter.exported, exporter.dropped, len(receiver.heads)) == (1, 0, 3)
    first, again = told(caplog)
    assert f"it answers {status}" in first and "again; 0 spans were lost" in again


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (404, "it answers 404: nothing takes traces at that path"),
        (400, "it answers 400"),
        (401, "it answers 401: tracing.headers do not let us in"),
        (500, "it answers 500"),
        (301, "it answers 301"),
    ],
)
def test_what_will_never_be_taken_is_dropped_at_once_and_told_once(
    answers: Callable[..., HttpReceiver], status: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = answers((status, b"no" * 100, {}))

    async def test(exporter: Exporter) -> None:
        for count in (1, 2):
            exporter.add(request())
            await done(exporter, count)

    exporter = run(receiver.endpoint, test)
    assert (exporter.exported, exporter.dropped, len(receiver.heads)) == (0, 2, 2)
    (line,) = told(caplog)
    assert says in line and f"{receiver.endpoint}/v1/traces" in line and "s3cret" not in line


def test_spans_that_are_refused_among_others_are_counted(
    answers: Callable[..., HttpReceiver], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = answers((200, rejecting(2, "too old"), {}))

    async def test(exporter: Exporter) -> None:
        for _ in range(5):
            exporter.add(request())
        await done(exporter, 5)

    exporter = run(receiver.endpoint, test)
    assert (exporter.exported, exporter.dropped) == (3, 2)
    assert "too old" in told(caplog)[0]


def test_the_end_does_not_wait_for_one_that_is_down_or_pauses(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    began = time.monotonic()

    async def test(exporter: Exporter) -> None:
        for _ in range(BATCH):
            exporter.add(request())
        async with asyncio.timeout(5):
            while not told(caplog):  # noqa: ASYNC110  # it pauses now
                await asyncio.sleep(0.01)

    exporter = run(f"http://127.0.0.1:{port}", test)
    assert (exporter.exported, exporter.dropped) == (0, BATCH)
    assert time.monotonic() - began < 10
    assert len(told(caplog)) == 1


def test_the_end_does_not_wait_for_one_that_is_silent() -> None:
    silent = Silent()

    async def test(exporter: Exporter) -> None:
        for _ in range(BATCH + 7):
            exporter.add(request())
        await asyncio.sleep(0.1)
        async with asyncio.timeout(3):
            await exporter.close(0.3)

    assert run(silent.endpoint, test).dropped == BATCH + 7
    silent.close()


def test_what_waits_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    silent = Silent()

    async def test(exporter: Exporter) -> None:
        for _ in range(MAX_WAITING + 10):
            exporter.add(request())
        assert exporter.dropped == 10
        await exporter.close(0.1)
        exporter.add(request())  # of a request that ends later still

    assert run(silent.endpoint, test).dropped == MAX_WAITING + 11
    assert "spans come faster than they are taken" in told(caplog)[0]
    silent.close()


def test_a_bug_of_ours_ends_no_export(answers: Callable[..., HttpReceiver], caplog: pytest.LogCaptureFixture) -> None:
    receiver = answers(OK)

    async def test(exporter: Exporter) -> None:
        exporter.add(request()._replace(status="x"))  # type: ignore[arg-type]
        await done(exporter, 1)
        exporter.add(request())
        await done(exporter, 2)

    exporter = run(receiver.endpoint, test)
    assert (exporter.exported, exporter.dropped) == (1, 1)
