"""The types of a state are those of the document that is sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typed_documents import mismatches

from balance.admin.dashboard.feed import Feed
from balance.admin.state_view import StateView
from balance.client.state import BackendState, History, State
from balance.config import load_file
from balance.health.states import State as Health
from balance.model import Why
from balance.probes.result import Result
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.row import Row
from balance.runtime.snapshot import backend_slots

FULL = Path(__file__).parents[2] / "deployments" / "examples" / "http-full.yaml"


@pytest.fixture
def full_view() -> StateView:
    """An instance with every key in its configuration, and some traffic."""
    config = load_file(FULL, {}).config
    slots = backend_slots(config)
    board = Board(2, len(slots) + 1)
    for place, row in enumerate(board.rows, 1):
        row[counters.PLACE] = place
    for slot in slots.values():
        board.set_state(slot, Health.HEALTHY, 1000.0, "2 good checks in a row")
    board.set_state(1, Health.UNHEALTHY, 1000.0, "3 failed checks in a row")
    result = Result(True, "connected", 0.001, at=1000.0)
    return StateView(config, slots, board, 0, 0, 0.0, [], lambda slot: result, lambda slot, event, reason: Health.UNKNOWN)


def test_a_state_is_of_its_type(full_view: StateView) -> None:
    async def documents() -> list[dict[str, object]]:
        feed = Feed(full_view)
        rows = [Row(cells) for cells in full_view.board.rows]
        found = []
        for second in range(3):
            for slot in full_view.slots.values():
                rows[0].cells[counters.block(slot) + counters.LEASES] += 3
                rows[0].count_exchange(slot, counters.NO_ROUTE, b"GET", 503 if slot == 2 else 200, 0, 5000, 5000, 100, 200, 0)
                rows[0].cells[counters.WHY + Why.CONNECT_REFUSED] += 1
            feed._make(1000.0 + second)
            found.append(json.loads(feed.whole()[1]))
        return found

    for document in asyncio.run(documents()):
        assert not mismatches(State, document), "\n".join(mismatches(State, document))
        assert document["pools"]
        assert document["backends"]


def test_a_history_is_of_its_type(full_view: StateView) -> None:
    for second in range(6):
        full_view.traffic.take(5000.0 + second, 1000.0 + second)
    chart = full_view.traffic.chart()
    assert chart["at"]
    assert mismatches(History, chart) == []


def test_what_is_not_of_a_type_is_found() -> None:
    row = {"order": True, "pool": 1, "errors_by_why": {"x": "y"}, "news": 1}
    found = mismatches(BackendState, row)
    assert {".order: True is no <class 'int'>", ".pool: 1 is no <class 'str'>", ".news: not in BackendState"} <= set(found)
    assert ".errors_by_why.x: 'y' is no <class 'int'>" in found
    assert ".version: is missing" in found
