"""A drill that finds something says so: every promise, broken by made-up findings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fault_report import FaultReport
from injected_faults import FAILURES, FAULTS, WORKERS
from steady_load import RequestRecord

PAGE = '{"status": 502, "why": "reset_on_reuse"}'
TRIED_AGAIN = "the circuit breaker of backend default/b2 is open: x; it is tried again in 2s"


def record(method: str, name: str, began: float, status: int = 200, said: str = "", took_s: float = 0.01) -> RequestRecord:
    return RequestRecord(method, name, began, took_s, status, True, said)


GOOD = FaultReport(
    fault=FAULTS["kill"],
    began=100.0,
    fault_began=101.0,
    fault_ended=104.0,
    ended=108.0,
    records=[
        record("GET", "1", 100.5),
        record("POST", "2", 100.6),
        record("GET", "3", 101.5, took_s=0.6),
        RequestRecord("GET", "4", 101.6, 0.01, 0, True, "closed in the middle of a body"),
        record("POST", "5", 101.7, 502, PAGE),
        record("GET", "6", 105.4),
        record("GET", "7", 107.0),
    ],
    at_faulty=[(100.5, "1"), (104.1, "3"), (105.5, "6")],
    at_backup=[],
    duplicated_posts=[],
    unseen=[],
    other_failures=[],
    log_lines=[(103.0, TRIED_AGAIN)],
    retries={"tries that were made again": 2},
    log="",
)


def broken(findings: FaultReport) -> list[str]:
    return [promise.what for promise in findings.guarantees() if not promise.holds]


def test_nothing_is_broken_where_all_is_as_promised() -> None:
    assert broken(GOOD) == []
    assert GOOD.recovery_s == pytest.approx(1.5)  # 3 was sent before
    assert GOOD.recovery_limit == (pytest.approx(1.0), "the breaker's 2s")
    assert {name: [each.name for each in records] for name, records in GOOD.phases.items()} == {
        "before": ["1", "2"],
        "during": ["3", "4", "5"],
        "after": ["6", "7"],
    }


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"records": [*GOOD.records, record("GET", "8", 105.0, 502, PAGE)]}, "no GET failed"),
        (
            {"records": [*GOOD.records, RequestRecord("GET", "8", 105.0, 0.1, 0, False, "ConnectionResetError")]},
            "no GET failed",
        ),
        ({"records": [*GOOD.records, record("GET", "8", 105.0, 200, "another's")]}, "no GET failed"),
        ({"records": [*GOOD.records, record("POST", "8", 105.0, 502, "{}")]}, "each POST that failed"),
        ({"records": [*GOOD.records, RequestRecord("POST", "8", 105.0, 0.1, 0, False, "closed")]}, "each POST that failed"),
        ({"duplicated_posts": ["POST 2"]}, "no POST reached"),
        ({"unseen": ["GET 1"]}, "no answer was made up"),
        ({"other_failures": ["no connection"]}, "nothing else failed"),
        ({"at_faulty": [(104.1, "3"), (106.1, "7")], "log_lines": []}, "traffic again within 0.00s (at once)"),
        ({"at_faulty": [(106.1, "7")]}, "traffic again within 1.00s"),
        ({"records": [*GOOD.records, *(record("GET", f"s{n}", 102.0, took_s=2.0) for n in range(9))]}, "p99 of GETs"),
    ],
)
def test_what_is_not_as_promised_is_told(changes: dict[str, object], what: str) -> None:
    (summarize,) = broken(replace(GOOD, **changes))
    assert summarize.startswith(what)
    assert f"BROKEN  {what}" in replace(GOOD, **changes).table()


def test_traffic_that_never_comes_back_is_told() -> None:
    first, second = broken(replace(GOOD, at_faulty=[(104.1, "3")]))
    assert first == "traffic came back"
    assert second.startswith("traffic again within 1.00s")


def test_errors_that_are_passed_on_are_counted() -> None:
    said = [(102.0, "the circuit breaker of backend default/b2 is half-open: x")]
    allowed = [record("GET", f"e{n}", 102.0, 500, "injected error") for n in range(FAILURES * WORKERS + 1)]
    findings = replace(
        GOOD, fault=FAULTS["errors-500-unasked"], records=[*GOOD.records, *allowed], log_lines=[*GOOD.log_lines, *said]
    )
    assert broken(findings) == []
    (summarize,) = broken(replace(findings, log_lines=GOOD.log_lines))
    assert summarize.startswith("at most 10 GETs got the machine's own error")
    assert broken(replace(findings, fault=FAULTS["errors-500"]))[0].startswith("no GET failed")


def test_a_backup_that_is_used_beside_the_others_is_told() -> None:
    findings = replace(GOOD, fault=FAULTS["both-killed"], at_backup=[(101.6, "3")])
    assert broken(findings) == []
    assert broken(replace(findings, at_backup=[(100.5, "1")])) == ["the backup got nothing before"]
    assert broken(replace(findings, at_backup=[(107.0, "7")])) == ["nor from 1s after the others were back"]


def test_a_slow_one_that_gets_its_share_is_told() -> None:
    assert broken(replace(GOOD, fault=FAULTS["slow"])) == ["b2 got less than a third meanwhile"]
    assert broken(replace(GOOD, fault=FAULTS["slow"], at_faulty=[(105.5, "6")])) == []


def test_checks_that_have_to_pass_first_are_waited_for() -> None:
    unhealthy, healthy = "backend default/b2 is unhealthy: x", "backend default/b2 is healthy: x"
    assert "two good checks" in replace(GOOD, log_lines=[*GOOD.log_lines, (103.1, unhealthy)]).recovery_limit[1]
    assert (
        replace(GOOD, log_lines=[*GOOD.log_lines, (103.1, unhealthy), (103.2, healthy)]).recovery_limit == GOOD.recovery_limit
    )
    assert replace(GOOD, log_lines=[*GOOD.log_lines, (107.0, unhealthy)]).recovery_limit == GOOD.recovery_limit
