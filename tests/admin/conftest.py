"""One instance as the admin endpoints see it, with a real board and nothing running."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from balance.admin.state_view import StateView
from balance.config.model import AdminConfig, BackendConfig, Config, HealthCheck, ListenerConfig, PoolConfig
from balance.health.readiness import Stage
from balance.health.states import TABLE, Event, State
from balance.model import Address, Mode
from balance.probes.result import Result
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.snapshot import backend_slots

CONFIG = Config(
    listeners=(ListenerConfig("web", (Address("127.0.0.1", 8080),), Mode.HTTP, "app"),),
    pools=(
        PoolConfig(
            "app",
            (BackendConfig("a1", Address("127.0.0.1", 9001)), BackendConfig("a2", Address("127.0.0.1", 9002), weight=2)),
            health_check=HealthCheck(enabled=True, kind="http"),
        ),
        PoolConfig("raw", (BackendConfig("r1", Address("127.0.0.1", 9003)),)),
    ),
    workers=2,
    source="test.yaml",
)


def ordering(board: Board) -> Callable[[int, Event, str], State]:
    """Orders are obeyed at once, as control does with whatever the table of states allows."""

    def order(slot: int, event: Event, reason: str) -> State:
        rule = TABLE.get((board.state(slot)[0], event))
        if rule is not None:
            board.set_state(slot, rule.after, 3000.0, reason)
        return board.state(slot)[0]

    return order


MakeView = Callable[..., StateView]


@pytest.fixture
def make_view() -> MakeView:
    """An instance that serves, two workers alive, the first backend healthy, the second not; `changes` to its config."""

    def make(**changes: object) -> StateView:
        config = replace(CONFIG, **changes)  # type: ignore[arg-type]
        slots = backend_slots(config)
        board = Board(config.workers, len(slots) + 1)
        board.set_stage(Stage.SERVING)
        board.set_state(1, State.HEALTHY, 1000.0)
        board.set_state(2, State.UNHEALTHY, 2000.0, "it said no")
        for number, row in enumerate(board.rows, start=1):
            row[counters.PLACE] = number
            row[counters.PID] = os.getpid()
        results = {2: Result(False, "connection refused", 0.25)}
        listening = [("web", Address("127.0.0.1", 8080))]
        return StateView(config, slots, board, os.getpid(), os.getpid(), 500.0, listening, results.get, ordering(board))

    return make


@pytest.fixture
def view(make_view: MakeView) -> StateView:
    return make_view()


@pytest.fixture
def public_view(make_view: MakeView) -> StateView:
    """The same with its admin port open to everybody."""
    return make_view(admin=AdminConfig(address=Address("", 9090)))
