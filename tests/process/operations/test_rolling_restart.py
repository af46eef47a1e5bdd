"""A rolling restart, step by step: a new worker first, then the old one's end, one post after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_supervisor import FakeSupervisor, configured

from balance.process.operations.rolling_restart import START_TIMEOUT_S, RollingRestart

DRAIN_S = 900.0


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSupervisor]:
    supervisor = FakeSupervisor(configured("b1", restart_drain_s=DRAIN_S), monkeypatch)
    yield supervisor
    supervisor.close()


def begun(supervisor: FakeSupervisor) -> RollingRestart:
    restarting = RollingRestart(supervisor.supervisor_state, "a test", supervisor.order_results.append)
    restarting.start(100.0)
    return restarting


def test_in_each_slot_the_new_worker_is_ready_before_the_old_one_drains(supervisor: FakeSupervisor) -> None:
    first, second, control = supervisor.worker(0), supervisor.worker(1), supervisor.control
    restarting = begun(supervisor)
    (new_worker,) = supervisor.process_table.unassigned
    assert (new_worker.worker_number, restarting.deadline) == (0, 100.0 + START_TIMEOUT_S)
    assert new_worker.row not in (first.row, second.row)  # it counts on a row of its own
    assert supervisor.worker(0) is first
    assert supervisor.sent_to(first) == []
    supervisor.ready(new_worker, restarting, 110.0)
    assert supervisor.worker(0) is new_worker
    assert supervisor.drain_limit(first) == DRAIN_S
    assert supervisor.sent_to(second) == []
    other = supervisor.process_table.unassigned[-1]
    assert (other.worker_number, restarting.deadline) == (1, 110.0 + START_TIMEOUT_S)
    supervisor.ready(other, restarting, 111.0)
    assert supervisor.drain_limit(second) == DRAIN_S
    assert (restarting.is_over, restarting.deadline) == (True, float("inf"))
    assert (supervisor.order_result.is_done, supervisor.order_result.generation, supervisor.order_result.summary) == (
        True,
        1,
        "2 workers replaced",
    )
    assert supervisor.assigned_children == [new_worker, other, control]
    assert supervisor.process_table.unassigned == [first, second]  # until they have finished


def test_whoever_else_becomes_ready_or_goes_meanwhile_is_no_reason_to_go_on_or_stop(supervisor: FakeSupervisor) -> None:
    restarting = begun(supervisor)
    (new_worker,) = supervisor.process_table.unassigned
    vacant = supervisor.exit_child(supervisor.worker(1), restarting)
    assert vacant is not None
    supervisor.ready(supervisor.process_table.fork_into_slot(vacant), restarting)
    assert not restarting.is_over
    assert supervisor.worker(0) is not new_worker


def test_an_old_one_that_dies_before_its_successor_is_ready_is_replaced_by_it_all_the_same(supervisor: FakeSupervisor) -> None:
    restarting = begun(supervisor)
    (new_worker,) = supervisor.process_table.unassigned
    supervisor.exit_child(supervisor.worker(0), restarting)
    supervisor.ready(new_worker, restarting)
    assert supervisor.worker(0) is new_worker
    supervisor.ready(supervisor.process_table.unassigned[-1], restarting)
    assert supervisor.order_result.is_done


@pytest.mark.parametrize("replaced", [0, 1])
@pytest.mark.parametrize("how", ["dies", "silent", "end of the instance", "no room for a process"])
def test_a_new_one_that_does_not_come_ends_it_and_who_serves_goes_on(
    supervisor: FakeSupervisor, replaced: int, how: str
) -> None:
    second = supervisor.worker(1)
    if how == "no room for a process" and not replaced:
        supervisor.process_table.refusal = OSError(12, "Cannot allocate memory")
    restarting = begun(supervisor)
    if replaced:
        (new_worker,) = supervisor.process_table.unassigned
        if how == "no room for a process":
            supervisor.process_table.refusal = OSError(12, "Cannot allocate memory")
        supervisor.ready(new_worker, restarting)
    before = supervisor.assigned_children
    late = supervisor.process_table.unassigned[-1:] if how != "no room for a process" else []
    match how:
        case "dies":
            supervisor.exit_child(late[0], restarting, "worker could not start: the disk is full")
        case "silent":
            restarting.on_deadline(200.0)
        case "end of the instance":
            restarting.abort("the instance is about to end")
    assert supervisor.killed == ([] if how in ("dies", "no room for a process") else late)
    assert supervisor.assigned_children == before
    assert supervisor.sent_to(second) == []
    assert not supervisor.order_result.is_done
    (problem,) = supervisor.order_result.problems
    assert (
        problem
        == {
            "dies": "worker could not start: the disk is full",
            "silent": f"worker {replaced}: the new one is not ready within 30s",
            "end of the instance": "the instance is about to end",
            "no room for a process": f"cannot start worker {replaced}: Cannot allocate memory",
        }[how]
    )
    assert supervisor.order_result.summary == f"{replaced} worker{'s' * (replaced != 1)} replaced"


def test_what_comes_after_its_end_changes_nothing(supervisor: FakeSupervisor) -> None:
    restarting = begun(supervisor)
    (new_worker,) = supervisor.process_table.unassigned
    restarting.abort("the instance is about to end")
    before = supervisor.assigned_children
    supervisor.ready(new_worker, restarting)  # it had said so before it was killed
    supervisor.exit_child(new_worker, restarting)
    restarting.abort("again")
    assert supervisor.assigned_children == before
    assert supervisor.order_result.problems == ("the instance is about to end",)


def test_where_all_rows_are_taken_by_those_who_finish_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = FakeSupervisor(configured("b1"), monkeypatch, max_rows=3)
    restarting = begun(supervisor)
    supervisor.ready(supervisor.process_table.unassigned[0], restarting)
    assert supervisor.order_result.problems == (
        "cannot start worker 1: all 3 rows of the board are taken, by workers that still finish what they have",
    )
    supervisor.close()
