"""A view with traffic: what a test counts lies between two samples, a second apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from balance.admin.dashboard.state.document import StateDocument
from balance.admin.state_view import StateView
from balance.runtime import counters
from balance.runtime.row import Row

EPOCH = 1_800_000_000.0
MakeView = Callable[..., StateView]


class Watched:
    """Documents of a view, second by second."""

    def __init__(self, view: StateView) -> None:
        self.view = view
        self.rows = [Row(cells) for cells in view.board.rows]
        self._maker = StateDocument(view)
        self._second = 0
        self.document = self.next()

    def next(self, seconds: int = 1, *, in_turns: bool = False) -> dict[str, Any]:
        """The document some seconds later."""
        self._second += seconds
        self.document = self._maker.make(EPOCH + self._second, 1000.0 + self._second, in_turns=in_turns)
        return self.document

    def serve(self, slot: int, count: int = 1, *, status: int = 200, us: int = 3000, route: int = 0, worker: int = 0) -> None:
        """Requests that a backend has answered."""
        row = self.rows[worker]
        for _ in range(count):
            row.cells[counters.block(slot) + counters.LEASES] += 1
            row.count_exchange(slot, counters.series_route(route) if route else 0, b"GET", status, 0, us, us, 100, 200, 0)
