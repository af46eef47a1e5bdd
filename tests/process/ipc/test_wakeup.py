"""The bell between control and a worker: never waits, never piles up, survives either end."""

import os

import pytest

from balance.process.ipc.wakeup import Wakeup, WakeupReason


@pytest.fixture
def wakeup() -> Wakeup:
    return Wakeup()


def test_many_wakeups_are_received_as_one(wakeup: Wakeup) -> None:
    for _ in range(3):
        wakeup.wake_worker(WakeupReason.BACKEND_STATES)
    assert wakeup.received_by_worker() == {WakeupReason.BACKEND_STATES}
    assert wakeup.received_by_worker() == set()
    wakeup.close()


def test_ringing_never_waits_even_if_nobody_listens(wakeup: Wakeup) -> None:
    for _ in range(20_000):
        wakeup.wake_worker(WakeupReason.BACKEND_STATES)
    assert wakeup.received_by_worker() == {WakeupReason.BACKEND_STATES}
    wakeup.close()


def test_a_restarted_process_on_either_end_sends_and_receives(wakeup: Wakeup) -> None:
    """The supervisor keeps both ends open, so the death of a process that had one is no end of file."""
    pid = os.fork()
    if pid == 0:
        wakeup.worker_end.close()
        wakeup.wake_worker(WakeupReason.BACKEND_STATES)
        os._exit(0)
    os.waitpid(pid, 0)
    assert wakeup.received_by_worker() == {WakeupReason.BACKEND_STATES}
    assert wakeup.received_by_worker() == set()
    wakeup.wake_worker(WakeupReason.BACKEND_STATES)
    assert wakeup.received_by_worker() == {WakeupReason.BACKEND_STATES}
    wakeup.close()


def test_a_worker_rings_control_and_hears_nothing_of_it_itself(wakeup: Wakeup) -> None:
    for _ in range(20_000):
        wakeup.wake_control(WakeupReason.FAILURES)
    assert wakeup.received_by_worker() == set()
    assert wakeup.received_by_control() == {WakeupReason.FAILURES}
    assert wakeup.received_by_control() == set()
    wakeup.close()
