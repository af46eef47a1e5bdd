"""A forked child: what it says, what it is told, how it ends."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from balance.errors import StartError
from balance.process.children.child import (
    Child,
    ChildState,
    SupervisorPipe,
    describe_exit_status,
    watch_messages,
)
from balance.process.ipc.messages import GRACEFUL_STOP
from balance.process.ipc.pipe import Message

Body = Callable[[SupervisorPipe], int]
Start = Callable[[Body], Child]


@pytest.fixture
def start() -> Iterator[Start]:
    """Fork children that are gone after the test."""
    children: list[Child] = []

    def fork(body: Body) -> Child:
        child = Child("the child")
        children.append(child)
        child.start(time.monotonic(), body)
        return child

    yield fork
    for child in children:
        if child.state is not ChildState.EXITED:
            child.kill()
            os.waitpid(child.pid, 0)
        child.close_pipe()


def ended(child: Child) -> int:
    """Wait for the child's end, as the supervisor does after SIGCHLD."""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child.receive()
    status = child.reap()
    assert status is not None
    return status


def test_a_child_is_ready_once_it_has_notified(start: Start) -> None:
    readable, writable = os.pipe()

    def body(supervisor_pipe: SupervisorPipe) -> int:
        os.read(readable, 1)
        supervisor_pipe.notify_ready()
        os.read(readable, 1)
        return 7

    child = start(body)
    assert (child.receive(), child.state) == (([], True), ChildState.STARTING)
    os.write(writable, b"x")
    while child.state is ChildState.STARTING:
        assert child.receive() == ([], True)
    os.write(writable, b"x")
    assert describe_exit_status(ended(child)) == "exited with status 7"
    assert (child.state, child.failure_reason) == (ChildState.EXITED, "")
    os.close(readable)
    os.close(writable)


def test_why_a_child_cannot_work_is_one_line(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    def body(supervisor_pipe: SupervisorPipe) -> int:
        raise StartError("the disk\nis full")

    child = start(body)
    assert describe_exit_status(ended(child)) == "exited with status 1"
    assert child.failure_reason == "the disk is full"
    assert capfd.readouterr() == ("", "")


def test_a_bug_in_a_child_ends_the_child_alone_and_is_reported(start: Start) -> None:
    def body(supervisor_pipe: SupervisorPipe) -> int:
        raise ZeroDivisionError("division by zero")

    child = start(body)
    assert describe_exit_status(ended(child)) == "exited with status 1"
    assert child.failure_reason == "ZeroDivisionError: division by zero"


def until_told(supervisor_pipe: SupervisorPipe) -> Message:
    """Turn a loop until the supervisor has said something."""
    loop = asyncio.new_event_loop()
    received: asyncio.Future[Message] = loop.create_future()
    watch_messages(loop, supervisor_pipe, received.set_result)
    return loop.run_until_complete(received)


def test_signals_to_the_group_are_ignored_and_messages_are_received(start: Start) -> None:
    def body(supervisor_pipe: SupervisorPipe) -> int:
        supervisor_pipe.notify_ready()
        return int(until_told(supervisor_pipe).data)

    child = start(body)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(child.pid, signum)
    child.stop_gracefully(7)
    assert child.state is ChildState.STOPPING
    assert describe_exit_status(ended(child)) == "exited with status 7"


def test_messages_sent_before_the_child_reads_are_received(start: Start) -> None:
    readable, writable = os.pipe()

    def body(supervisor_pipe: SupervisorPipe) -> int:
        os.read(readable, 1)
        message = until_told(supervisor_pipe)
        return int(message.data) if message.kind == GRACEFUL_STOP else 1

    child = start(body)
    child.stop_gracefully(9)
    os.write(writable, b"x")
    assert describe_exit_status(ended(child)) == "exited with status 9"
    os.close(readable)
    os.close(writable)


def test_a_child_sends_other_messages_as_well(start: Start) -> None:
    def body(supervisor_pipe: SupervisorPipe) -> int:
        supervisor_pipe.notify_ready()
        supervisor_pipe.pipe_end.send("prepared", 3)
        until_told(supervisor_pipe)
        return 0

    child = start(body)
    received: list[Message] = []
    while not received:
        received += child.receive()[0]
    assert received == [Message("prepared", 3, ())]
    assert child.state is ChildState.READY
    child.stop_gracefully(1)
    assert ended(child) == 0


def test_an_exited_child_gets_neither_messages_nor_signals(start: Start) -> None:
    child = start(lambda supervisor_pipe: 0)
    assert ended(child) == 0
    child.kill()  # its number may be somebody else's by now
    assert not child.send(GRACEFUL_STOP, 1)
    assert child.reap() is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with status 0"),
        (3 << 8, "exited with status 3"),
        (9, "was killed by SIGKILL"),
        (11 | 0x80, "was killed by SIGSEGV"),
        (60, "was killed by signal 60"),
    ],
)
def test_exit_statuses_are_described(status: int, words: str) -> None:
    assert describe_exit_status(status) == words
