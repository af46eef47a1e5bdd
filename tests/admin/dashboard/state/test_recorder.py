"""What is remembered: rates from differences, never negative; ten minutes and no more; when a backend was last chosen."""

from __future__ import annotations

import itertools

from balance.admin.dashboard.state.recorder import CHART_S, STEP_S, Recorder
from balance.process.shared_memory.board import Board
from balance.runtime import counters
from balance.runtime.row import Row

EPOCH = 1_800_000_000.0


def serve(row: Row, count: int, status: int, us: int = 3000) -> None:
    for _ in range(count):
        row.cells[counters.block(1) + counters.LEASES] += 1
        row.count_exchange(1, 0, b"GET", status, 0, us, us, 100, 200, 0)


def test_totals_are_rates_of_what_has_ended() -> None:
    board = Board(2, 2)
    rows = [Row(cells) for cells in board.rows]
    recorder = Recorder(board)
    recorder.take(EPOCH, 100.0)
    serve(rows[0], 10, 200)
    serve(rows[1], 4, 404)
    serve(rows[1], 6, 503)
    recorder.take(EPOCH + 2, 102.0)
    chart = recorder.chart()
    assert (chart["requests"], chart["errors_4xx"], chart["errors_5xx"]) == ([10.0], [2.0], [3.0])
    assert (chart["bytes_in"], chart["bytes_out"]) == ([1000.0], [2000.0])
    assert 0.0025 <= chart["p50_seconds"][0] <= 0.005
    recorder.take(EPOCH + 4, 104.0)
    assert recorder.chart()["p50_seconds"][1] is None  # nothing ended


def test_a_counter_that_goes_down_is_no_negative_rate() -> None:
    board = Board(1, 2)
    row = Row(board.rows[0])
    serve(row, 50, 200)
    recorder = Recorder(board)
    recorder.take(EPOCH, 100.0)
    board.clear_slots([1])  # another backend gets the slot
    serve(row, 2, 200)
    recorder.take(EPOCH + 2, 102.0)
    chart = recorder.chart()
    assert all(each is None or each >= 0 for name in chart if isinstance(chart[name], list) for each in chart[name])


def test_memory_is_bounded_for_a_week() -> None:
    board = Board(1, 2)
    recorder = Recorder(board)
    for number in range(2000):
        recorder.take(EPOCH + number * 2, number * 2.0)
    assert len(recorder.chart()["at"]) == CHART_S / STEP_S
    assert len(recorder.samples) <= 8


def test_a_tick_each_second_makes_the_same_chart() -> None:
    board = Board(1, 2)
    recorder = Recorder(board)
    for number in range(21):
        recorder.take(EPOCH + number, float(number))
    at = recorder.chart()["at"]
    assert len(at) == 10 and {round(b - a) for a, b in itertools.pairwise(at)} == {2}


def test_the_last_hit_is_remembered_where_a_successor_finds_it() -> None:
    board = Board(1, 3)
    recorder = Recorder(board)
    recorder.take(EPOCH, 100.0)
    board.rows[0][counters.block(2) + counters.LEASES] += 1
    recorder.take(EPOCH + 2, 102.0)
    recorder.take(EPOCH + 4, 104.0)
    assert (board.last_hit(1), board.last_hit(2)) == (0, EPOCH + 2)


def test_windows_end_where_samples_end() -> None:
    board = Board(1, 2)
    recorder = Recorder(board)
    first = recorder.take(EPOCH, 100.0)
    assert recorder.before(5.0) is first
    for number in range(1, 8):
        recorder.take(EPOCH + number, 100.0 + number)
    assert recorder.before(5.0).mono == 102.0
    assert recorder.before(1.0).mono == 106.0
