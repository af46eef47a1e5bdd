"""The bell between control and a worker: never waits, never piles up, survives either end."""

import os

import pytest

from balance.process.channel import Channel, Message


@pytest.fixture
def channel() -> Channel:
    return Channel()


def test_many_rings_are_heard_as_one(channel: Channel) -> None:
    for _ in range(3):
        channel.ring(Message.STATES)
    assert channel.heard() == {Message.STATES}
    assert channel.heard() == set()
    channel.close()


def test_ringing_never_waits_even_if_nobody_listens(channel: Channel) -> None:
    for _ in range(20_000):
        channel.ring(Message.STATES)
    assert channel.heard() == {Message.STATES}
    channel.close()


def test_a_successor_on_either_end_hears_and_is_heard(channel: Channel) -> None:
    """The supervisor keeps both ends open, so the death of a process that had one is no end of file."""
    pid = os.fork()
    if pid == 0:
        channel.worker_end.close()
        channel.ring(Message.STATES)
        os._exit(0)
    os.waitpid(pid, 0)
    assert channel.heard() == {Message.STATES}
    assert channel.heard() == set()
    channel.ring(Message.STATES)
    assert channel.heard() == {Message.STATES}
    channel.close()


def test_a_worker_rings_control_and_hears_nothing_of_it_itself(channel: Channel) -> None:
    for _ in range(20_000):
        channel.ring_control(Message.EVIDENCE)
    assert channel.heard() == set()
    assert channel.heard_by_control() == {Message.EVIDENCE}
    assert channel.heard_by_control() == set()
    channel.close()
