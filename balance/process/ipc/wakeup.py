"""How processes tell each other that something on the board has changed: a bell. What has changed is on the board itself.

A message says only what to look at, so one that is lost because a bell rings already, or that was meant for a dead
process, changes nothing: whoever comes reads the board. One pair of sockets per row of the board, made before the first fork
and inherited by every successor on either end: control and the other workers ring the worker, the worker rings control.
"""

from __future__ import annotations

import enum
import socket

from balance.process.ipc.pipe import SOCKET_TYPE

PACKET_BYTES = 64


class WakeupReason(enum.Enum):
    """What somebody is told to look at."""

    BACKEND_STATES = b"states"  # the states of the backends and their breakers
    PERMITS = b"permits"  # permits of backends with a limit: some are wanted, or were given back
    FAILURES = b"evidence"  # how traffic fares


class Wakeup:
    """One row's pair. A worker keeps its own `worker_end` and closes the others'; control closes them all."""

    __slots__ = ("control_end", "worker_end")

    def __init__(self) -> None:
        self.control_end, self.worker_end = socket.socketpair(socket.AF_UNIX, SOCKET_TYPE)
        self.control_end.setblocking(False)
        self.worker_end.setblocking(False)

    def wake_worker(self, reason: WakeupReason) -> None:
        """Tell the worker. Never waits."""
        _send(self.control_end, reason)

    def wake_control(self, reason: WakeupReason) -> None:
        """In the worker: tell control. Never waits."""
        _send(self.worker_end, reason)

    def received_by_worker(self) -> set[WakeupReason]:
        """In the worker: everything that has come since the last call."""
        return _received(self.worker_end)

    def received_by_control(self) -> set[WakeupReason]:
        """In control: everything that has come from this worker since the last call."""
        return _received(self.control_end)

    def close(self) -> None:
        self.control_end.close()
        self.worker_end.close()


def _send(end: socket.socket, reason: WakeupReason) -> None:
    try:
        end.send(reason.value)
    except OSError:
        return  # full: bells enough are waiting there; or nobody is there: the successor will read the board


def _received(end: socket.socket) -> set[WakeupReason]:
    messages: set[WakeupReason] = set()
    while True:
        try:
            packet = end.recv(PACKET_BYTES)
        except OSError:
            return messages
        if not packet:
            return messages
        messages.add(WakeupReason(packet))
