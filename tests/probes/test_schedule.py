"""The health check loop over real sockets."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from balance.config.model import BackendConfig, HealthCheck
from balance.health.backend_status import BackendStatus
from balance.health.states import Event, State, Transition
from balance.model import Address
from balance.probes import PROBES
from balance.probes.result import Result
from balance.probes.schedule import ProbeLoop

CHECK = HealthCheck(enabled=True, interval_s=0.02, timeout_s=5.0, jitter=0.0, healthy_threshold=2, unhealthy_threshold=2)


def watching(check: HealthCheck, backend: BackendConfig, state: State, told: Callable[[Transition], object]) -> ProbeLoop:
    """A watch whose answers move a standing, as control's do."""
    standing = BackendStatus(check, state)

    def answered(result: Result) -> None:
        change = standing.apply(Event.PASS if result.is_ok else Event.FAIL, result.reason, 0.0, is_explicit=result.is_explicit)
        if change is not None:
            told(change)

    return ProbeLoop(check, backend, standing, answered)


def test_a_backend_that_goes_and_returns_is_told_as_three_changes() -> None:
    async def watch() -> list[tuple[State, str]]:
        told: asyncio.Queue[Transition] = asyncio.Queue()
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        backend = BackendConfig("b1", Address("127.0.0.1", port))
        watch = watching(CHECK, backend, State.UNKNOWN, told.put_nowait)
        watch.start(0.0)
        seen = [await told.get()]
        server.close()
        seen.append(await told.get())
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
        seen.append(await told.get())
        watch.stop()
        server.close()
        return [(transition.after, transition.reason) for transition in seen]

    assert asyncio.run(watch()) == [
        (State.HEALTHY, "connected"),
        (State.UNHEALTHY, "connection refused"),
        (State.HEALTHY, "connected"),
    ]


def test_a_backend_that_hangs_delays_no_other() -> None:
    async def watch() -> tuple[Result | None, Result | None]:
        answered = asyncio.Event()
        http = HealthCheck(enabled=True, kind="http", interval_s=1.0, timeout_s=30.0)
        with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as good:
            hanging, quick = (
                watching(
                    check,
                    BackendConfig("b", Address("127.0.0.1", sock.getsockname()[1])),
                    State.UNKNOWN,
                    lambda transition: answered.set(),
                )
                for check, sock in ((http, silent), (CHECK, good))
            )
            hanging.start(0.0)
            quick.start(0.0)
            await answered.wait()
            hanging.stop()
            quick.stop()
        return hanging.last, quick.last

    hanging, quick = asyncio.run(watch())
    assert hanging is None
    assert quick is not None and quick.is_ok


def test_a_probe_that_breaks_counts_as_a_bad_answer_and_the_watch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(check: HealthCheck, backend: BackendConfig) -> Result:
        raise RuntimeError("no such luck")

    monkeypatch.setitem(PROBES, "broken", broken)
    check = HealthCheck(enabled=True, kind="broken", interval_s=0.01, jitter=0.0, unhealthy_threshold=2)

    async def watch() -> Transition:
        told: asyncio.Queue[Transition] = asyncio.Queue()
        backend = BackendConfig("b1", Address("127.0.0.1", 1))
        watch = watching(check, backend, State.HEALTHY, told.put_nowait)
        watch.start(0.0)
        change = await told.get()
        watch.stop()
        return change

    assert asyncio.run(watch()) == (State.HEALTHY, State.UNHEALTHY, 2, "the probe failed: RuntimeError")


def test_whoever_waits_for_an_answer_does_not_wait_for_the_interval() -> None:
    async def watch() -> list[bool]:
        answers: asyncio.Queue[Result] = asyncio.Queue()
        check = HealthCheck(enabled=True, interval_s=3600.0)
        with socket.create_server(("127.0.0.1", 0)) as server:
            backend = BackendConfig("b1", Address("127.0.0.1", server.getsockname()[1]))
            watch = ProbeLoop(check, backend, BackendStatus(check), answers.put_nowait)
            watch.start(0.0)
            first = await answers.get()
            watch.probe_now()
            second = await answers.get()
            watch.stop()
        return [first.is_ok, second.is_ok]

    assert asyncio.run(watch()) == [True, True]
