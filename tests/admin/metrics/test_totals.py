"""Sums over rows."""

import math

from balance.admin.metrics.totals import Totals
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.row import Row


def test_series_of_all_workers_are_one_and_a_full_table_ends() -> None:
    board = Board(workers=2, slots=2)
    rows = [Row(row) for row in board.rows]
    for row, keys in zip(rows, ([(1, 1, 200), (1, 1, 200), (1, 2, 404)], [(1, 1, 200), (0, 8, 503)]), strict=True):
        for key in keys:
            row.count_request(counters.series_key(*key))
    assert Totals(board.rows).series() == {(1, 1, 200, 0): 3, (1, 2, 404, 0): 1, (0, 8, 503, 0): 1}
    count = len(counters.series_pairs(board.rows[0]))
    for status in range(count + 5):
        rows[0].count_request(counters.series_key(1 + status // 1000, 1, status % 1000))
    assert len(Totals(board.rows[:1]).series()) == count


def test_a_histogram_is_cumulative_and_in_the_unit_asked_for() -> None:
    board = Board(workers=2, slots=2)
    base = counters.block(1) + counters.UPSTREAM_TIME
    for row, times in zip(board.rows, ([400, 500, 501], [20_000_000]), strict=True):
        for us in times:
            Row(row).observe_time(base, us)
    buckets, total = Totals(board.rows).times(base, counters.TIME_BUCKETS_US)
    assert buckets[:3] == [(0.0005, 2), (0.001, 3), (0.0025, 3)]
    assert buckets[-2:] == [(10.0, 3), (math.inf, 4)]
    assert total == 20.001401
