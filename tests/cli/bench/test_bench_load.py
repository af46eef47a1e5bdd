from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

import pytest
import uvloop
from bench_peers import Server

from balance.cli.bench.connection import error_kind
from balance.cli.bench.histogram import Histogram, highest_of
from balance.cli.bench.load import PORTION, Load, merged
from balance.cli.bench.plan import Plan, Target

Answer = Callable[[bytes], bytes | float | None]
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def run(
    answer: Answer, *, requests: int, url: bool = False, duration_s: float = 60.0, on_portion: Any = None, **settings: Any
) -> tuple[Load, int]:
    """A whole load of one process on a server in the same loop, until all is answered or the time is over."""

    async def whole() -> tuple[Load, int]:
        server = await asyncio.get_running_loop().create_server(lambda: Server(answer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        target = Target.parse(f"http://127.0.0.1:{port}/" if url else f"127.0.0.1:{port}")
        plan = Plan(target, settings.pop("connections", 4), requests=requests, size=0 if url else 8, **settings)
        load = Load(plan, plan.connections, "127.0.0.1", None)
        load.on_portion = on_portion or load.on_portion
        await load.connect()
        load.start(monotonic_ns(), requests, duration_s)
        sweeper = asyncio.ensure_future(sweep(load))
        try:
            async with asyncio.timeout(duration_s):
                await load.done.wait()
        except TimeoutError:
            pass
        sweeper.cancel()
        unsent = load.stop()
        load.close()
        server.close()
        return load, unsent

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(whole())


async def sweep(load: Load) -> None:
    while True:
        await asyncio.sleep(0.01)
        load.sweep()


def latencies(load: Load) -> Histogram:
    return Histogram.of(load.shared.counts)


@pytest.mark.parametrize("is_keepalive", [True, False])
@pytest.mark.parametrize("rate", [None, 2000.0])
def test_so_many_requests_are_sent_and_no_more(is_keepalive: bool, rate: float | None) -> None:
    seen: list[bytes] = []
    load, unsent = run(lambda data: seen.append(data) or data, requests=37, is_keepalive=is_keepalive, rate=rate)
    assert (load.replies, load.errors, unsent, len(seen)) == (37, {}, 0, 37)


def test_a_closed_loop_looks_at_the_clock_however_busy_the_event_loop_is() -> None:
    """With 1,024 sockets that are always ready libuv runs no timer for 48 rounds."""
    looks: list[int] = []
    load, _ = run(lambda data: data, requests=3 * PORTION, connections=1, on_portion=lambda: looks.append(1))
    assert (load.replies, len(looks)) == (3 * PORTION, 3)


def test_fewer_requests_than_connections() -> None:
    load, _ = run(lambda data: REPLY, requests=3, connections=20, url=True)
    assert (load.replies, load.errors) == (3, {})


@pytest.mark.parametrize("rate", [None, 1000.0])
def test_a_stall_is_seen_by_all_who_would_have_asked_meanwhile(rate: float | None) -> None:
    """S49; wrk#99, #326, #485: in a closed loop one request of each connection sees the stall, whatever its length."""
    stalled = {"left": 1}

    def answer(data: bytes) -> bytes:
        if stalled["left"]:
            stalled["left"] = 0
            time.sleep(0.5)  # far longer than a busy machine holds one up
        return data

    load, _ = run(answer, requests=400, connections=2, rate=rate)
    slow = sum(count for bucket, count in latencies(load).counts.items() if highest_of(bucket) > 200_000_000)
    assert slow <= 2 if rate is None else slow >= 150
    assert load.replies == 400


def test_what_waits_for_a_connection_is_counted_from_its_plan() -> None:
    load, unsent = run(lambda data: 0.02, requests=20, connections=1, rate=1000.0, duration_s=0.25)
    assert load.waited > 5
    assert unsent > 3
    assert load.replies >= 20 - 1 - unsent + unsent  # those that were never sent are in it, too
    assert latencies(load).max_ns > 150_000_000


def test_a_reply_that_does_not_come_is_an_error_that_took_the_whole_time() -> None:
    load, _ = run(lambda data: b"", requests=4, timeout_s=0.1)
    assert load.errors == {"timeout": 4}
    assert latencies(load).min_ns >= 100_000_000


@pytest.mark.parametrize("is_keepalive", [True, False])
def test_connections_that_end_are_counted_and_made_anew(is_keepalive: bool) -> None:
    calls = {"number": 0}

    def answer(data: bytes) -> bytes | None:
        calls["number"] += 1
        return None if calls["number"] % 3 == 0 else data

    load, _ = run(answer, requests=12, is_keepalive=is_keepalive)
    assert (load.replies, load.errors) == (8, {"closed without a reply": 4})


def test_a_server_that_says_close_is_connected_to_again_without_an_error() -> None:
    reply = REPLY.replace(b"Content", b"Connection: close\r\nContent")
    load, _ = run(lambda data: reply, requests=9, connections=2, url=True)
    assert (load.replies, load.errors) == (9, {})


def test_a_server_that_is_gone_is_an_error_each_time_and_no_busy_loop() -> None:
    async def whole() -> Load:
        plan = Plan(Target.parse("127.0.0.1:1"), 2, requests=4, size=8, is_keepalive=False)
        load = Load(plan, 2, "127.0.0.1", None)
        load.start(monotonic_ns(), 4, 60)
        await load.done.wait()
        load.close()
        return load

    assert asyncio.run(whole()).errors == {"connection refused": 4}


def test_a_server_that_goes_and_stays_away_ends_a_run_of_so_many() -> None:
    async def whole() -> Load:
        server = await asyncio.get_running_loop().create_server(lambda: Server(lambda data: None), "127.0.0.1", 0)
        target = Target.parse(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        load = Load(Plan(target, 2, requests=1000, size=8, timeout_s=0.1), 2, "127.0.0.1", None)
        await load.connect()
        server.close()
        load.start(monotonic_ns(), 1000, 60)
        await load.done.wait()
        load.close()
        return load

    errors = asyncio.run(whole()).errors
    assert errors["closed without a reply"] == 2
    assert errors["connection refused"] > 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), "connection refused"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "no local port"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable"),
    ],
)
def test_why_no_connection_could_be_made(error: OSError, kind: str) -> None:
    """k6#826, siege#127: no local port is told apart from a server that refuses."""
    assert error_kind(error) == kind


def test_slices_become_half_as_many() -> None:
    assert merged([[1, 0], [2, 1], [4, 4]]) == [[3, 1], [4, 4]]


def test_after_a_warm_up_ticks_are_at_the_times_of_the_new_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each request would wait for a tick of the warm-up's, up to a whole period."""
    seen: list[list[Any]] = []

    class Ticks:
        def __init__(self, loop: object, tick: object, start: int, tick_ns: int) -> None:
            seen.append([start, "ticks"])

        def stop(self) -> None:
            next(each for each in seen if each[1] == "ticks")[1] = "stopped"

    monkeypatch.setattr("balance.cli.bench.load.Ticker", Ticks)

    async def whole() -> None:
        load = Load(Plan(Target.parse("127.0.0.1:1"), 1, rate=7.0), 1, "127.0.0.1", None)
        load.start(1000, None, 1.0)
        load.start(1_000_000_500, None, 1.0)
        load.stop()

    asyncio.run(whole())
    assert seen == [[1000, "stopped"], [1_000_000_500, "stopped"]]
