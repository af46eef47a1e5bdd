"""Health checks over reloads: one that is left alone goes on, and no other stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from child_contexts import context, eventually

from balance.admin.state_view import BackendView
from balance.config.model import BackendConfig, HealthCheck, PoolConfig
from balance.health.backend_status import BackendStatus
from balance.model import Address
from balance.probes.result import Result
from balance.process.control import health_checks as module
from balance.process.control.health_checks import HealthChecks

CHECK = HealthCheck(enabled=True, interval_s=3600.0, timeout_s=1.0)


class Case:
    """Backends that take connections, and what was answered for them."""

    def __init__(self) -> None:
        self.context = context()
        self.answers: list[tuple[int, bool]] = []
        self.asked = 0
        self.health_checks = HealthChecks(lambda slot, result: self.answers.append((slot, result.is_ok)))

    async def listen(self) -> int:
        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.asked += 1
            writer.close()

        server = await asyncio.start_server(taken, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    def update(self, *backends: tuple[int, int], check: HealthCheck = CHECK, **changes: Any) -> None:
        """(slot, port) of each."""
        configs = [BackendConfig(f"b{slot}", Address("127.0.0.1", port), **changes) for slot, port in backends]
        pool = PoolConfig("web", tuple(configs), health_check=check)
        seen = [
            BackendView(pool, config, slot, *self.context.board.state(slot))
            for config, (slot, _) in zip(configs, backends, strict=True)
        ]
        self.health_checks.update(seen, {slot: BackendStatus(check) for slot, _ in backends})


def play(act: Callable[[Case], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "first_delay_s", lambda check, index, count: 0.0)

    async def stage() -> None:
        case = Case()
        async with asyncio.timeout(20):
            await act(case)
        case.health_checks.stop()

    asyncio.run(stage())


def test_each_backend_is_asked_and_its_last_answer_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(case: Case) -> None:
        port = await case.listen()
        case.update((1, port), (2, 1))
        assert case.health_checks.last_result(1) is None
        await eventually(lambda: len(case.answers) == 2)
        assert sorted(case.answers) == [(1, True), (2, False)]
        last = case.health_checks.last_result(1)
        assert isinstance(last, Result)
        assert last.is_ok
        assert case.health_checks.last_result(3) is None

    play(act, monkeypatch)


def test_a_check_that_a_reload_leaves_alone_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(case: Case) -> None:
        port = await case.listen()
        case.update((1, port))
        await eventually(lambda: case.answers != [])
        for weight in (2, 3, 4):
            case.update((1, port), (2, port), weight=weight)  # another weight, another neighbour
        await eventually(lambda: (2, True) in case.answers)
        await asyncio.sleep(0.05)
        assert case.answers == [(1, True), (2, True)]
        assert case.health_checks.last_result(1) is not None

    play(act, monkeypatch)


@pytest.mark.parametrize(
    ("after", "is_asked"),
    [
        (replace(CHECK, timeout_s=2.0), True),
        (replace(CHECK, unhealthy_threshold=9), True),
        (replace(CHECK, enabled=False), False),
    ],
)
def test_another_check_is_begun_at_once_and_none_is_none(
    after: HealthCheck, is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(case: Case) -> None:
        port = await case.listen()
        case.update((1, port))
        await eventually(lambda: case.answers != [])
        case.update((1, port), check=after)
        if is_asked:
            await eventually(lambda: len(case.answers) == 2)
        else:
            case.health_checks.probe_now(1)
            await asyncio.sleep(0.05)
            assert len(case.answers) == 1
            assert case.health_checks.last_result(1) is None

    play(act, monkeypatch)


def test_removed_backends_are_not_probed_and_enable_probes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(case: Case) -> None:
        port = await case.listen()
        case.update((1, port), (2, port))
        await eventually(lambda: len(case.answers) == 2)
        case.update((1, port))
        case.health_checks.probe_now(2)
        case.health_checks.probe_now(1)
        await eventually(lambda: len(case.answers) == 3)
        await asyncio.sleep(0.05)
        assert case.answers[2:] == [(1, True)]
        case.health_checks.stop()
        case.health_checks.probe_now(1)
        await asyncio.sleep(0.05)
        assert len(case.answers) == 3

    play(act, monkeypatch)


def test_whoever_a_reload_takes_away_is_never_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(case: Case) -> None:
        port = await case.listen()
        often = replace(CHECK, interval_s=0.02)
        case.update((1, port), (2, port), check=often)
        await eventually(lambda: {(1, True), (2, True)} <= set(case.answers))
        case.update((1, port), check=often)
        case.answers.clear()
        await eventually(lambda: len(case.answers) >= 10)
        assert (2, True) not in case.answers

    play(act, monkeypatch)
