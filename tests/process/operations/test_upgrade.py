"""An upgrade, step by step: the new instance is given everything, and takes over when it is ready or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from fake_supervisor import FakeSupervisor, configured

from balance.health.readiness import Stage
from balance.process.children.child import Child
from balance.process.ipc.messages import REWRITE_STATES
from balance.process.operations.upgrade import NEVER, START_TIMEOUT_S, UpgradeOperation
from balance.process.operations.upgrade_protocol import HANDOVER_MESSAGE


class Case:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("balance.process.operations.upgrade.os.getpid", lambda: 1000)
        self.supervisor = FakeSupervisor(configured("b1"), monkeypatch)
        self.yielded: list[Child] = []
        self.upgrading = UpgradeOperation(
            self.supervisor.supervisor_state, "a test", {}, None, self.supervisor.order_results.append, self.yielded.append
        )

    def begun(self) -> Child:
        self.upgrading.start(100.0)
        (successor,) = self.supervisor.process_table.unassigned
        return successor


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    case = Case(monkeypatch)
    yield case
    case.supervisor.close()


def test_the_new_instance_is_told_all_and_takes_over_when_it_is_ready(case: Case) -> None:
    supervisor = case.supervisor
    before = supervisor.assigned_children
    successor = case.begun()
    assert case.upgrading.deadline == 100.0 + START_TIMEOUT_S
    (message,) = supervisor.sent_to(successor)
    assert (message.kind, message.data["generation"]) == (HANDOVER_MESSAGE, 1)
    for fd in message.fds:
        os.close(fd)
    assert case.yielded == []
    supervisor.ready(successor, case.upgrading)
    assert (supervisor.order_result.is_done, supervisor.order_result.summary) == (
        True,
        f"process {successor.pid} has taken over",
    )
    assert case.yielded == [successor]
    assert case.upgrading.is_over
    assert supervisor.assigned_children == before  # what follows is the supervisor's
    assert supervisor.killed == []


def test_whoever_else_becomes_ready_or_goes_is_not_the_new_instance(case: Case) -> None:
    case.begun()
    vacant = case.supervisor.exit_child(case.supervisor.worker(1), case.upgrading)
    assert vacant is not None
    case.supervisor.ready(case.supervisor.process_table.fork_into_slot(vacant), case.upgrading)
    assert not case.upgrading.is_over
    assert case.yielded == []


@pytest.mark.parametrize("how", ["dies", "silent", "end of the instance"])
def test_one_that_does_not_come_leaves_this_instance_as_it_was(case: Case, how: str) -> None:
    supervisor, before = case.supervisor, case.supervisor.assigned_children
    successor = case.begun()
    supervisor.supervisor_state.stage = Stage.SERVING
    supervisor.supervisor_state.context.board.set_generation(2)
    supervisor.supervisor_state.context.board.set_stage(Stage.DRAINING)
    match how:
        case "dies":
            supervisor.exit_child(successor, case.upgrading, "the new instance exited with status 1")
        case "silent":
            case.upgrading.on_deadline(200.0)
        case "end of the instance":
            case.upgrading.abort("the instance is about to end")
    assert supervisor.killed == ([] if how == "dies" else [successor])
    assert (supervisor.order_result.is_done, supervisor.order_result.generation) == (False, 1)
    assert supervisor.order_result.problems == (
        {
            "dies": "the new instance exited with status 1; why is in the log of the instance",
            "silent": "the new instance was not ready within 60s",
            "end of the instance": "the instance is about to end",
        }[how],
    )
    if how != "dies":
        supervisor.ready(successor, case.upgrading)  # it had said so before it was killed
        supervisor.exit_child(successor, case.upgrading)
    case.upgrading.abort("again")
    assert len(supervisor.order_results) == 1
    assert case.yielded == []
    assert (supervisor.assigned_children, supervisor.sent_to(supervisor.worker(0))) == (before, [])
    board = supervisor.supervisor_state.context.board
    assert (board.generation, board.stage) == (1, Stage.SERVING)  # whatever it has written there
    assert supervisor.kinds(supervisor.control) == [REWRITE_STATES]


def test_a_new_instance_that_is_not_there_to_take_anything_over_is_not_waited_for(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("balance.process.operations.upgrade.hand_over", lambda *what: False)
    successor = case.begun()
    assert case.supervisor.order_result.problems == ("the new instance takes nothing over",)
    assert case.supervisor.killed == [successor]
    assert (case.upgrading.is_over, case.upgrading.deadline) == (True, NEVER)


def test_without_room_for_a_process_nothing_begins(case: Case) -> None:
    case.supervisor.process_table.refusal = OSError(12, "Cannot allocate memory")
    case.upgrading.start(100.0)
    assert case.supervisor.order_result.problems == ("cannot start the new instance: Cannot allocate memory",)


def test_process_1_is_not_replaced_because_its_container_would_end_with_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.process.operations.upgrade.os.getpid", lambda: 1)
    case.upgrading.start(100.0)
    (problem,) = case.supervisor.order_result.problems
    assert "would end process 1" in problem
    assert case.supervisor.process_table.unassigned == []
