"""A forked child: what it reports, how it ends, and when the next one comes."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from balance.errors import StartError
from balance.process.child import END, Child, Life, Report, how_it_ended, next_backoff_s, obey

Body = Callable[[Report], int]
Start = Callable[[Body], Child]


@pytest.fixture
def start() -> Iterator[Start]:
    """Fork children that are gone after the test."""
    children: list[Child] = []

    def fork(body: Body) -> Child:
        child = Child("the child", None, body)
        children.append(child)
        child.start(time.monotonic())
        return child

    yield fork
    for child in children:
        if child.life is not Life.GONE:
            child.send(signal.SIGKILL)
            os.waitpid(child.pid, 0)
        child.close_report()


def ended(child: Child) -> int:
    """Wait for the child's end, as the supervisor does after SIGCHLD."""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    status = child.reap()
    assert status is not None
    return status


def test_a_child_is_ready_when_it_says_so_and_not_before(start: Start) -> None:
    readable, writable = os.pipe()

    def body(report: Report) -> int:
        os.read(readable, 1)
        report.ready()
        os.read(readable, 1)
        return 7

    child = start(body)
    assert (child.listen(), child.life) == (True, Life.STARTING)
    os.write(writable, b"x")
    while child.life is Life.STARTING:
        assert child.listen()
    os.write(writable, b"x")
    assert how_it_ended(ended(child)) == "exited with status 7"
    assert (child.life, child.complaint) == (Life.GONE, "")
    os.close(readable)
    os.close(writable)


def test_why_a_child_cannot_work_is_one_line(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    def body(report: Report) -> int:
        raise StartError("the disk\nis full")

    child = start(body)
    assert how_it_ended(ended(child)) == "exited with status 1"
    assert child.complaint == "the disk is full"
    assert capfd.readouterr() == ("", "")


def test_a_bug_in_a_child_ends_the_child_alone_and_is_reported(start: Start) -> None:
    def body(report: Report) -> int:
        raise ZeroDivisionError("division by zero")

    child = start(body)
    assert how_it_ended(ended(child)) == "exited with status 1"
    assert child.complaint == "ZeroDivisionError: division by zero"


def test_a_groups_signals_are_ignored_and_the_supervisors_own_ends(start: Start) -> None:
    def body(report: Report) -> int:
        report.ready()
        return 0 if signal.sigwait({END}) is END else 1

    child = start(body)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, END):
        child.send(signum)
    assert how_it_ended(ended(child)) == "exited with status 0"


def test_order_that_comes_before_the_handler_is_obeyed_all_the_same(start: Start) -> None:
    def body(report: Report) -> int:
        signal.sigtimedwait({signal.SIGALRM}, 0)  # the order is pending by now, and kills nobody
        loop = asyncio.new_event_loop()
        done = asyncio.Event()
        loop.call_soon(obey, loop, done.set)
        loop.run_until_complete(done.wait())
        return 7

    child = start(body)
    child.send(END)
    assert how_it_ended(ended(child)) == "exited with status 7"


def test_a_child_that_is_gone_gets_no_signal(start: Start) -> None:
    child = start(lambda report: 0)
    assert ended(child) == 0
    child.send(signal.SIGKILL)  # its number may be somebody else's by now
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
def test_ends_are_put_into_words(status: int, words: str) -> None:
    assert how_it_ended(status) == words


def test_who_keeps_dying_young_waits_longer_and_longer_up_to_a_bound() -> None:
    delays = [0.0]
    for _ in range(9):
        delays.append(next_backoff_s(delays[-1], lived_s=0.5))
    assert delays == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert next_backoff_s(10.0, lived_s=10.0) == 0.0


def test_the_first_successor_comes_at_once() -> None:
    child = Child("worker 0", 0, lambda report: 0)
    assert [child.schedule_restart(now=1.0) for _ in range(3)] == [0.0, 0.2, 0.4]
    assert child.restart_at == 1.4
