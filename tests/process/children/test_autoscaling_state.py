"""What the supervisor keeps for autoscalers."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from balance.process.children.autoscaling_state import AutoscalingState, changes_of


def test_one_socket_is_held_at_a_time() -> None:
    state = AutoscalingState()
    first, second = os.pipe()
    state.hold([first])
    state.hold([second])
    with pytest.raises(OSError):
        os.fstat(first)
    state.hold([])
    assert state.keeper_fd is None
    with pytest.raises(OSError):
        os.fstat(second)


def test_what_does_not_fit_is_not_kept() -> None:
    state = AutoscalingState()
    for told in (None, 5, ("web",), ("web", "3", 1, 1.0, True), (1, 3, 1, 1.0, True), ("web", 3, 1, 1, True)):
        state.remember(told)
    assert not state.changes
    state.remember(("web", 3, 1, 1.5, True))
    assert state.changes == {"web": (3, 1, 1.5, True)}
    assert changes_of({"web": [3, 1, 1.5, True], "new": [1, 2, 3, 4, 5]}) == state.changes


def test_a_farewell_waits_for_the_keeper_but_not_for_ever() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seen = []

    def keeper() -> None:
        theirs.send(b"a line that nobody reads")
        seen.append(theirs.recv(100))
        theirs.close()

    thread = threading.Thread(target=keeper)
    thread.start()
    state = AutoscalingState(ours.detach())
    state.farewell()
    thread.join()
    assert seen == [b""] and state.keeper_fd is None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    AutoscalingState(ours.detach()).farewell(0.01)
    theirs.close()
