from __future__ import annotations

from typing import Any

import pytest
from bench_results import MS, histogram, process_result

from balance.cli.bench.plan import Plan, Target
from balance.cli.bench.result import is_failed, is_short, summed

PLAN = Plan(Target.parse("http://127.0.0.1:1/"), 2, duration_s=2.0, processes=2)
OPEN = Plan(Target.parse("http://127.0.0.1:1/"), 2, duration_s=2.0, rate=2.0)


def test_processes_are_added_up_and_no_percentile_is_averaged() -> None:
    fast = process_result(slices=[histogram(*[1] * 99), {}], in_time=99)
    slow = process_result(slices=[histogram(100), {}], in_time=1, tail=histogram(200), cpu_wait_s=1.6)
    document = summed(PLAN, [fast, slow], False)
    assert document["requests"] == 101
    assert document["requests_per_s"] == 50  # what came in after the end counts for no rate
    assert document["latency_ns"]["p50"] == pytest.approx(MS, rel=0.001)
    assert document["latency_ns"]["p99"] == pytest.approx(100 * MS, rel=0.001)
    assert document["latency_ns"]["max"] == pytest.approx(200 * MS, rel=0.001)
    assert document["statuses"] == {"200": 8}
    assert document["tool"]["busiest"] == pytest.approx(0.95)
    assert [each["requests_per_s"] for each in document["slices"]] == [100, 0]


@pytest.mark.parametrize(
    ("plan", "changes", "is_bad"),
    [
        (PLAN, {}, False),
        (PLAN, {"errors": {"reset": 1}}, True),
        (PLAN, {"statuses": {"200": 3, "503": 1}}, True),
        (PLAN, {"statuses": {"302": 4}}, False),
        (PLAN, {"slices": [], "in_time": 0}, True),
        (OPEN, {}, False),
        (OPEN, {"unsent": 1}, True),
        (OPEN, {"elapsed_s": 4.0}, True),  # fortio#419, #469: half of what was asked for
    ],
)
def test_what_fails_a_run(plan: Plan, changes: dict[str, Any], is_bad: bool) -> None:
    assert is_failed(summed(plan, [process_result(**changes)], False)) is is_bad


def test_an_interrupted_run_is_not_short() -> None:
    assert not is_short(summed(OPEN, [process_result(elapsed_s=4.0)], True))


def test_an_error_status_is_counted_as_an_error_by_its_number() -> None:
    document = summed(PLAN, [process_result(statuses={"200": 3, "503": 2}, errors={"reset": 1})], False)
    assert document["errors"] == {"reset": 1, "status 503": 2}
