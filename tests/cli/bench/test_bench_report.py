from __future__ import annotations

from typing import Any

import pytest
from bench_results import histogram, process_result

from balance.cli.bench.histogram import Histogram
from balance.cli.bench.plan import Plan, Target
from balance.cli.bench.report import distribution, lines, notes, shown
from balance.cli.bench.result import histogram_of, summed

CLOSED = Plan(Target.parse("http://127.0.0.1:1/"), 2, duration_s=2.0)
OPEN = Plan(Target.parse("127.0.0.1:1"), 2, duration_s=2.0, rate=2.0, size=8)


def text(plan: Plan, is_interrupted: bool = False, **changes: Any) -> str:
    return "\n".join(lines(summed(plan, [process_result(**changes)], is_interrupted)))


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1000, "1.00 us"), (12_345, "12.3 us"), (999_999, "1.00 ms"), (250_000_000, "250 ms"),
     (9.999e9, "10.0 s")],
)  # fmt: skip
def test_a_latency_is_shown_with_three_digits(ns: float, text: str) -> None:
    assert shown(ns) == text


@pytest.mark.parametrize(
    ("plan", "changes", "words"),
    [
        (CLOSED, {}, "closed loop: while the server stalls"),
        (CLOSED, {"cpu_user_s": 1.9}, "this tool itself was busy, or waited for a CPU, 105%"),
        (CLOSED, {"cpu_wait_s": 1.6}, "this tool itself was busy"),
        (CLOSED, {"errors": {"no local port": 7}}, "7 x no local port: this machine has no local port left"),
        (CLOSED, {"errors": {"answers no HTTP": 1}}, "give HOST:PORT without http://"),
        (Plan(Target.parse("h:1"), 2, requests=9), {"errors": {"no local port": 1}}, "ended after 5 of 9 requests"),
        (OPEN, {"late": 3, "latest_ns": 2_500_000}, "3 requests were sent more than 1 ms late because this tool had no"),
        (OPEN, {"waited": 5}, "5 requests waited for a free connection"),
        (OPEN, {"unsent": 2}, "2 planned requests were never sent"),
        (OPEN, {"elapsed_s": 4.0}, "1/s of the 2/s asked for were answered"),
    ],
)  # fmt: skip
def test_what_a_reader_must_know_is_said(plan: Plan, changes: dict[str, Any], words: str) -> None:
    assert words in text(plan, **changes)


def test_a_good_run_at_a_rate_has_no_note() -> None:
    assert notes(summed(OPEN, [process_result()], False)) == []


def test_what_was_interrupted_says_so() -> None:
    assert "interrupted: this is what there was" in text(OPEN, True)


def test_a_percentile_of_too_few_is_marked() -> None:
    assert "p99*" in text(CLOSED)
    many = {"slices": [histogram(*[1.0] * 2000)]}
    assert "p99 " in text(CLOSED, **many)
    assert "p99.9*" in text(CLOSED, **many)


def test_the_tail_is_rows_of_its_own_and_every_reply_is_in_one() -> None:
    """hey#238: in bars of equal width all but one reply are in the first when one was slow."""
    found = Histogram()
    for number in range(1, 200):
        found.record(number * 1_000_000)
    found.record(30_000_000_000)
    rows = distribution(found, 80)
    counts = [int(row.split()[4].replace(",", "")) for row in rows]
    assert sum(counts) == 200
    assert max(counts) < 120
    assert rows[-1].split()[5] == "100.00%"
    assert all(len(row) <= 80 for row in rows)


def test_one_latency_is_one_row() -> None:
    assert len(distribution(histogram_of({"histogram": histogram(5, 5)}), 80)) == 1


def test_nothing_at_all_is_shown_too() -> None:
    assert "Requests      0" in text(CLOSED, slices=[], in_time=0, statuses={}, errors={"connection refused": 3})
