"""A rolling restart, step by step: a new worker first, then the old one's end, one post after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_supervisor import FakeSupervisor, configured

from balance.process.operations.rolling_restart import START_TIMEOUT_S, RollingRestart

DRAIN_S = 900.0


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSupervisor]:
    scene = FakeSupervisor(configured("b1", restart_drain_s=DRAIN_S), monkeypatch)
    yield scene
    scene.close()


def begun(scene: FakeSupervisor) -> RollingRestart:
    restarting = RollingRestart(scene.supervisor_state, "a test", scene.verdicts.append)
    restarting.start(100.0)
    return restarting


def test_at_each_post_the_new_one_is_ready_before_the_old_one_ends(scene: FakeSupervisor) -> None:
    first, second, control = scene.worker(0), scene.worker(1), scene.control
    restarting = begun(scene)
    (newcomer,) = scene.process_table.unassigned
    assert (newcomer.worker_number, restarting.deadline) == (0, 100.0 + START_TIMEOUT_S)
    assert newcomer.row not in (first.row, second.row)  # it counts on a row of its own
    assert scene.worker(0) is first
    assert scene.told(first) == []
    scene.ready(newcomer, restarting, 110.0)
    assert scene.worker(0) is newcomer
    assert scene.limit(first) == DRAIN_S
    assert scene.told(second) == []
    other = scene.process_table.unassigned[-1]
    assert (other.worker_number, restarting.deadline) == (1, 110.0 + START_TIMEOUT_S)
    scene.ready(other, restarting, 111.0)
    assert scene.limit(second) == DRAIN_S
    assert (restarting.is_over, restarting.deadline) == (True, float("inf"))
    assert (scene.verdict.is_done, scene.verdict.generation, scene.verdict.summary) == (True, 1, "2 workers replaced")
    assert scene.standing == [newcomer, other, control]
    assert scene.process_table.unassigned == [first, second]  # until they have finished


def test_whoever_else_becomes_ready_or_goes_meanwhile_is_no_reason_to_go_on_or_stop(scene: FakeSupervisor) -> None:
    restarting = begun(scene)
    (newcomer,) = scene.process_table.unassigned
    vacant = scene.dies(scene.worker(1), restarting)
    assert vacant is not None
    scene.ready(scene.process_table.fork_into_slot(vacant), restarting)
    assert not restarting.is_over
    assert scene.worker(0) is not newcomer


def test_an_old_one_that_dies_before_its_successor_is_ready_is_replaced_by_it_all_the_same(scene: FakeSupervisor) -> None:
    restarting = begun(scene)
    (newcomer,) = scene.process_table.unassigned
    scene.dies(scene.worker(0), restarting)
    scene.ready(newcomer, restarting)
    assert scene.worker(0) is newcomer
    scene.ready(scene.process_table.unassigned[-1], restarting)
    assert scene.verdict.is_done


@pytest.mark.parametrize("replaced", [0, 1])
@pytest.mark.parametrize("how", ["dies", "silent", "end of the instance", "no room for a process"])
def test_a_new_one_that_does_not_come_ends_it_and_who_serves_goes_on(scene: FakeSupervisor, replaced: int, how: str) -> None:
    second = scene.worker(1)
    if how == "no room for a process" and not replaced:
        scene.process_table.refusal = OSError(12, "Cannot allocate memory")
    restarting = begun(scene)
    if replaced:
        (newcomer,) = scene.process_table.unassigned
        if how == "no room for a process":
            scene.process_table.refusal = OSError(12, "Cannot allocate memory")
        scene.ready(newcomer, restarting)
    before = scene.standing
    late = scene.process_table.unassigned[-1:] if how != "no room for a process" else []
    match how:
        case "dies":
            scene.dies(late[0], restarting, "worker could not start: the disk is full")
        case "silent":
            restarting.on_deadline(200.0)
        case "end of the instance":
            restarting.abort("the instance is about to end")
    assert scene.killed == ([] if how in ("dies", "no room for a process") else late)
    assert scene.standing == before
    assert scene.told(second) == []
    assert not scene.verdict.is_done
    (problem,) = scene.verdict.problems
    assert (
        problem
        == {
            "dies": "worker could not start: the disk is full",
            "silent": f"worker {replaced}: the new one is not ready within 30s",
            "end of the instance": "the instance is about to end",
            "no room for a process": f"cannot start worker {replaced}: Cannot allocate memory",
        }[how]
    )
    assert scene.verdict.summary == f"{replaced} worker{'s' * (replaced != 1)} replaced"


def test_what_comes_after_its_end_changes_nothing(scene: FakeSupervisor) -> None:
    restarting = begun(scene)
    (newcomer,) = scene.process_table.unassigned
    restarting.abort("the instance is about to end")
    before = scene.standing
    scene.ready(newcomer, restarting)  # it had said so before it was killed
    scene.dies(newcomer, restarting)
    restarting.abort("again")
    assert scene.standing == before
    assert scene.verdict.problems == ("the instance is about to end",)


def test_where_all_rows_are_taken_by_those_who_finish_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = FakeSupervisor(configured("b1"), monkeypatch, max_rows=3)
    restarting = begun(scene)
    scene.ready(scene.process_table.unassigned[0], restarting)
    assert scene.verdict.problems == (
        "cannot start worker 1: all 3 rows of the board are taken, by workers that still finish what they have",
    )
    scene.close()
