"""Errors, retried and slow requests always have their line; of the others a sample has."""

from typing import Any

import pytest
from line_records import record

from balance.log_lines.selection import Selection
from balance.model import Why


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({}, 0.0),
        ({"status": 404}, 0.0),
        ({"status": 500}, 1.0),
        ({"status": 503, "why": "fault_injected"}, 1.0),
        ({"attempts": 2}, 1.0),
        ({"retry": "method"}, 1.0),
        ({"total_us": 999_999}, 0.0),
        ({"total_us": 1_000_000}, 1.0),
        ({"total_us": 10**9, "method": "TCP"}, 0.0),  # a session may last
        ({"total_us": 10**9, "method": "TUNNEL", "connect_us": -1}, 0.0),
        ({"total_us": 10**9, "method": "TCP", "queue_us": 600_000, "connect_us": 400_000}, 1.0),
        *(({"why": why.word}, 1.0) for why in (Why.CLIENT_ABORT, Why.BAD_REQUEST, Why.TLS_ABORTED, Why.RESET_MID_RESPONSE)),
        *(({"why": why.word}, 0.0) for why in (Why.DENIED, Why.RATE_LIMITED, Why.REDIRECTED, Why.NO_ROUTE, Why.IDLE_TIMEOUT)),
    ],
)
def test_what_is_no_normal_end_is_logged_whatever_the_sample(changes: dict[str, Any], part: float) -> None:
    assert Selection(0.1, 1_000_000, lambda: 0.5).part(record(**changes)) == part


def test_sample_says_for_how_many_a_line_stands() -> None:
    rolls = iter([0.0, 0.0999, 0.1, 0.99])
    selection = Selection(0.1, 0, lambda: next(rolls))
    assert [selection.part(record(total_us=10**9)) for _ in range(4)] == [0.1, 0.1, 0.0, 0.0]
    assert Selection(1.0, 0, lambda: 0.999999).part(record()) == 1.0
    assert Selection(0.0, 0, lambda: 0.0).part(record()) == 0.0
