"""The children of an instance: who stands where, who is heard, and who has gone. Real processes that do nothing but report."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from balance.errors import StartError
from balance.process.children.child import Child, ChildState, SupervisorPipe
from balance.process.children.child_slot import ChildSlot
from balance.process.children.process_table import NEVER, ProcessTable
from balance.process.ipc.messages import GRACEFUL_STOP
from balance.process.ipc.pipe import Message
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import ROWS_LOCK, Locks
from balance.process.shared_memory.row_ownership import RowOwnership
from balance.runtime import counters

PATIENCE_S = 20.0
MAX_ROWS = 4


def until_ended(child: Child, supervisor_pipe: SupervisorPipe) -> int:
    """Be ready, say which row this is, and wait for the end of the line."""
    supervisor_pipe.notify_ready()
    supervisor_pipe.pipe_end.send("row", child.row)
    while True:
        messages, is_open = supervisor_pipe.pipe_end.receive()
        if any(message.kind == GRACEFUL_STOP for message in messages):
            return int(messages[-1].data)
        if not is_open:
            return 99
        time.sleep(0.001)


def fails(child: Child, supervisor_pipe: SupervisorPipe) -> int:
    raise StartError("the disk is full")


class ProcessTableUnderTest:
    """A staff, and what its children were told to let go of."""

    def __init__(self, workers: int = 2, worker_main: Callable[[Child, SupervisorPipe], int] = until_ended) -> None:
        self.selector = selectors.DefaultSelector()
        self.board = Board(0, 1, max_rows=MAX_ROWS)
        self.locks = Locks()
        rows = RowOwnership(self.board, self.locks, lock_timeout_s=0.05)
        self.process_table = ProcessTable(
            workers,
            worker_main,
            until_ended,
            self.selector,
            rows,
            lambda worker_number: frozenset({worker_number or 0}),
            self._after_fork_in_child,
        )

    def let(self, *rows: int, pid: int) -> None:
        """Workers of somebody else's count there."""
        for row in rows:
            self.board.use_row(row)
            self.board.rows[row][counters.PID] = pid

    def _after_fork_in_child(self, name: str) -> None:
        self.selector.close()

    def receive(self, child: Child) -> tuple[bool, list[Message]]:
        """Until it is ready and has said something: whether it became ready just once, and what it said."""
        deadline = time.monotonic() + PATIENCE_S
        times, said = 0, []
        while not (times and said):
            assert time.monotonic() < deadline
            self.selector.select(0.05)
            has_become_ready, messages, is_open = self.process_table.receive(child)
            assert is_open
            times += has_become_ready
            said += messages
        return times == 1, said

    def filled(self, child_slot: ChildSlot) -> Child:
        child = self.process_table.fork_into_slot(child_slot)
        self.receive(child)
        return child

    def reap_exited(self, count: int) -> dict[str, str]:
        """Wait for so many to go: the words for each."""
        deadline = time.monotonic() + PATIENCE_S
        found: dict[str, str] = {}
        while len(found) < count:
            assert time.monotonic() < deadline
            for child_exit in self.process_table.reap_exited():
                found[child_exit.child.name] = child_exit.description
            time.sleep(0.001)
        return found


@pytest.fixture
def table() -> Iterator[ProcessTableUnderTest]:
    table = ProcessTableUnderTest()
    yield table
    table.process_table.kill_all()
    table.selector.close()


def is_reaped(child: Child) -> bool:
    try:
        os.waitpid(child.pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_all_is_ready_when_every_slot_has_a_ready_child(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    assert [child_slot.name for child_slot in process_table.child_slots] == ["worker 0", "worker 1", "control"]
    for child_slot in process_table.child_slots:
        assert not process_table.is_ready
        assert child_slot.name in process_table.unready_names
        was_once, said = table.receive(process_table.fork_into_slot(child_slot))
        assert was_once
        assert said == [
            Message("row", None if child_slot is process_table.control else process_table.workers.index(child_slot), ())
        ]
    assert process_table.is_ready
    assert process_table.unready_names == ""
    assert [child.name for child in process_table.live_workers] == ["worker 0", "worker 1"]
    assert process_table.unassigned == []
    assert [child.inodes for child in process_table.live_children] == [frozenset({0}), frozenset({1}), frozenset({0})]


def test_a_replacing_child_is_assigned_and_the_replaced_one_is_still_known(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    (child_slot, _) = process_table.workers
    before = table.filled(child_slot)
    new_child = process_table.fork_for_slot(child_slot)
    assert child_slot.child is before
    assert process_table.unassigned == [new_child]
    assert new_child.row == 1  # not that of the one before, which counts on
    table.receive(new_child)
    child_slot.restart_at = 1.0
    assert process_table.assign(child_slot, new_child) is before
    assert (child_slot.child, child_slot.restart_at, process_table.unassigned) == (new_child, None, [before])
    before.stop_gracefully(7)
    assert "exited with status 7" in table.reap_exited(1)["worker 0"]
    assert (child_slot.child, process_table.unassigned) == (new_child, [])
    assert process_table.fork_for_slot(child_slot).row == 0


def test_an_exit_names_the_slot_the_reason_and_the_last_messages(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    for child_slot in process_table.workers:
        process_table.fork_into_slot(child_slot)  # nobody has listened to it
    first, second = (child_slot.child for child_slot in process_table.workers)
    assert first is not None
    assert second is not None
    first.stop_gracefully(5)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    (child_exit,) = process_table.reap_exited()
    assert child_exit.child is first
    assert child_exit.child_slot is process_table.workers[0]
    assert child_exit.messages == [Message("row", 0, ())]
    assert os.waitstatus_to_exitcode(child_exit.status) == 5
    assert (process_table.workers[0].child, first.pipe_end) == (None, None)
    assert process_table.live_children == [second]
    assert {key.data for key in table.selector.get_map().values()} == {second}


def test_one_that_could_not_start_says_why() -> None:
    table = ProcessTableUnderTest(1, fails)
    child = table.process_table.fork_into_slot(table.process_table.workers[0])
    assert table.reap_exited(1) == {"worker 0": "worker 0 could not start: the disk is full"}
    assert is_reaped(child)
    table.selector.close()


def test_removed_slots_release_their_workers_and_new_slots_are_empty(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    first, second = (table.filled(child_slot) for child_slot in process_table.workers)
    assert process_table.set_worker_count(1) == [second]
    assert (process_table.live_children, process_table.unassigned) == ([first, second], [second])
    assert process_table.set_worker_count(3) == []
    assert [child_slot.worker_number for child_slot in process_table.workers] == [0, 1, 2]
    assert [child_slot.child for child_slot in process_table.workers] == [first, None, None]
    process_table.stop_gracefully([second], 3)
    assert "exited with status 3" in table.reap_exited(1)["worker 1"]


def test_restarts_happen_when_due_unless_cancelled(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    first, second = process_table.workers
    assert process_table.next_restart == NEVER
    first.restart_at, second.restart_at = 10.0, 20.0
    assert process_table.next_restart == 10.0
    process_table.start_due_restarts(9.0)
    assert process_table.live_children == []
    process_table.start_due_restarts(15.0)
    assert [child.name for child in process_table.live_children] == ["worker 0"]
    assert (first.restart_at, process_table.next_restart) == (None, 20.0)
    process_table.cancel_restarts()
    process_table.start_due_restarts(100.0)
    assert len(process_table.live_children) == 1


def test_without_a_free_row_the_restart_is_delayed_and_logged(
    table: ProcessTableUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    process_table = table.process_table
    (child_slot, other) = process_table.workers
    table.let(0, 2, 3, pid=os.getpid())  # of the instance before this one
    table.filled(child_slot)
    other.restart_at = 1.0
    process_table.start_due_restarts(1.0)
    assert other.child is None
    assert other.restart_at is not None
    assert caplog.messages == [
        "cannot start worker 1: all 4 rows of the board are taken, by workers that still finish what they have;"
        " next attempt in 0s"
    ]
    table.let(0, pid=0)
    process_table.start_due_restarts(1.0)
    assert other.child is not None
    assert other.child.row == 0


def test_a_detached_child_is_not_killed_with_the_others(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    child = Child("the new instance")
    process_table.fork_child(child, lambda supervisor_pipe: until_ended(child, supervisor_pipe))
    table.receive(child)
    process_table.detach(child)
    assert process_table.live_children == []
    process_table.kill_all()
    assert child.send(GRACEFUL_STOP, 3)  # its line stays
    assert os.waitpid(child.pid, 0)[1] == 3 << 8
    assert child.pipe_end is not None
    assert process_table.receive(child)[2] is False
    child.close_pipe()
    child.state = ChildState.EXITED


def test_a_detached_child_leaves_no_zombie(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    child = Child("the new instance")
    process_table.fork_child(child, lambda supervisor_pipe: 3)
    process_table.detach(child)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert list(process_table.reap_exited()) == []  # its end is nobody's departure
    assert is_reaped(child)


def test_one_that_speaks_before_it_is_ready_is_not_taken_for_ready(table: ProcessTableUnderTest) -> None:
    def slow(supervisor_pipe: SupervisorPipe) -> int:
        supervisor_pipe.pipe_end.send("row", 7)
        while not supervisor_pipe.pipe_end.receive()[0]:
            time.sleep(0.001)
        supervisor_pipe.notify_ready()
        return 0

    child = Child("worker 7")
    table.process_table.fork_child(child, slow)
    table.selector.select(PATIENCE_S)
    assert table.process_table.receive(child) == (False, [Message("row", 7, ())], True)
    child.send(GRACEFUL_STOP, 0)
    table.selector.select(PATIENCE_S)
    assert table.process_table.receive(child)[0]


def test_a_closed_pipe_is_unregistered(table: ProcessTableUnderTest) -> None:
    def mute(supervisor_pipe: SupervisorPipe) -> int:
        supervisor_pipe.pipe_end.close()
        signal.pause()
        return 0

    child = Child("worker 7")
    table.process_table.fork_child(child, mute)
    table.selector.select(PATIENCE_S)
    assert table.process_table.receive(child) == (False, [], False)
    assert table.selector.select(0) == []


def test_a_child_closes_what_is_not_its_own_first(table: ProcessTableUnderTest) -> None:
    child = Child("worker 7")
    table.process_table.fork_child(child, lambda supervisor_pipe: 3 if table.selector.get_map() is None else 4)
    assert "exited with status 3" in table.reap_exited(1)["worker 7"]


def test_a_child_holds_no_pipe_but_its_own(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    first = table.filled(process_table.workers[0])
    table.filled(process_table.workers[1])
    assert first.pipe_end is not None
    process_table.workers[0].child = None
    process_table.unassigned.append(first)
    first.close_pipe()  # were there a copy of this end in the second one, the first would not notice
    assert "exited with status 99" in table.reap_exited(1)["worker 0"]


def test_the_row_says_whose_it_is_before_the_child_has_done_anything_and_nobodys_after_the_kill(
    table: ProcessTableUnderTest,
) -> None:
    process_table = table.process_table
    children = [process_table.fork_into_slot(child_slot) for child_slot in process_table.workers]
    rows = table.board.rows
    assert [row[counters.PID] for row in rows] == [child.pid for child in children]
    for row in rows:
        row[counters.PLACE] = 1
    table.let(2, pid=os.getpid())
    process_table.kill_all()
    assert [row[counters.PID] for row in rows] == [0, 0, os.getpid()]
    assert [row[counters.PLACE] for row in rows] == [0, 0, 0]


def test_a_successor_has_the_row_of_who_died_and_not_one_that_is_free_below(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    first, second = (table.filled(child_slot) for child_slot in process_table.workers)
    for child, count in ((first, 1), (second, 1)):
        child.stop_gracefully(0)
        table.reap_exited(count)
    assert process_table.fork_into_slot(process_table.workers[1]).row == 1
    table.let(0, pid=os.getpid())  # a newcomer was faster
    assert process_table.fork_into_slot(process_table.workers[0]).row == 2


def test_no_worker_is_forked_while_another_instance_holds_the_rows(table: ProcessTableUnderTest) -> None:
    received, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        table.locks.take(ROWS_LOCK)
        os.write(tell, b"x")
        signal.pause()
    os.read(received, 1)
    with pytest.raises(OSError, match="another instance"):
        table.process_table.fork_into_slot(table.process_table.workers[0])
    assert table.process_table.live_children == []
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    table.filled(table.process_table.workers[0])


def test_kill_all_leaves_no_child(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    children = [table.filled(child_slot) for child_slot in process_table.child_slots] + [
        process_table.fork_for_slot(process_table.workers[0])
    ]
    process_table.kill_all()
    assert [is_reaped(child) for child in children] == [True] * 4
    assert process_table.live_children == []
    assert len(table.selector.get_map()) == 0


def test_detached_workers_outlive_kill_all(table: ProcessTableUnderTest) -> None:
    process_table = table.process_table
    workers = [table.filled(child_slot) for child_slot in process_table.workers]
    control = table.filled(process_table.control)
    process_table.detach_workers()
    process_table.kill_all()
    assert is_reaped(control)
    for status, child in enumerate(workers, 5):
        assert child.send(GRACEFUL_STOP, status)  # it still answers
        assert os.waitpid(child.pid, 0)[1] == status << 8
        child.close_pipe()
