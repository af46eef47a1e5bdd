"""The bell between control and a worker: never waits, never piles up, survives either end."""

import os

import pytest

from balance.process.ipc.wakeup import Message, Wakeup


@pytest.fixture
def wakeup() -> Wakeup:
    return Wakeup()


def test_many_rings_are_heard_as_one(wakeup: Wakeup) -> None:
    for _ in range(3):
        wakeup.ring(Message.STATES)
    assert wakeup.heard() == {Message.STATES}
    assert wakeup.heard() == set()
    wakeup.close()


def test_ringing_never_waits_even_if_nobody_listens(wakeup: Wakeup) -> None:
    for _ in range(20_000):
        wakeup.ring(Message.STATES)
    assert wakeup.heard() == {Message.STATES}
    wakeup.close()


def test_a_successor_on_either_end_hears_and_is_heard(wakeup: Wakeup) -> None:
    """The supervisor keeps both ends open, so the death of a process that had one is no end of file."""
    pid = os.fork()
    if pid == 0:
        wakeup.worker_end.close()
        wakeup.ring(Message.STATES)
        os._exit(0)
    os.waitpid(pid, 0)
    assert wakeup.heard() == {Message.STATES}
    assert wakeup.heard() == set()
    wakeup.ring(Message.STATES)
    assert wakeup.heard() == {Message.STATES}
    wakeup.close()


def test_a_worker_rings_control_and_hears_nothing_of_it_itself(wakeup: Wakeup) -> None:
    for _ in range(20_000):
        wakeup.ring_control(Message.EVIDENCE)
    assert wakeup.heard() == set()
    assert wakeup.heard_by_control() == {Message.EVIDENCE}
    assert wakeup.heard_by_control() == set()
    wakeup.close()
