"""Wakeups between workers and control: which part of shared memory has changed. The data itself is in shared memory.

So a wakeup that is lost because the buffer is full or the process is dead does no harm: the next read sees the change. One
socket pair per worker row, made before the first fork: control and other workers wake the worker, the worker wakes control.
"""

from __future__ import annotations

import enum
import socket

from balance.process.ipc.pipe import SOCKET_TYPE

PACKET_BYTES = 64


class WakeupReason(enum.Enum):
    """What has changed."""

    BACKEND_STATES = b"states"  # states of backends or circuit breakers
    PERMITS = b"permits"  # connection permits were requested or released
    FAILURES = b"evidence"  # requests failed


class Wakeup:
    """The socket pair of one row. A worker keeps its own `worker_end` and closes the others'; control closes them all."""

    __slots__ = ("control_end", "worker_end")

    def __init__(self) -> None:
        self.control_end, self.worker_end = socket.socketpair(socket.AF_UNIX, SOCKET_TYPE)
        self.control_end.setblocking(False)
        self.worker_end.setblocking(False)

    def wake_worker(self, reason: WakeupReason) -> None:
        """Wake the worker. Never blocks."""
        _send(self.control_end, reason)

    def wake_control(self, reason: WakeupReason) -> None:
        """In the worker: wake control. Never blocks."""
        _send(self.worker_end, reason)

    def received_by_worker(self) -> set[WakeupReason]:
        """In the worker: the reasons since the last call."""
        return _received(self.worker_end)

    def received_by_control(self) -> set[WakeupReason]:
        """In control: the reasons since the last call."""
        return _received(self.control_end)

    def close(self) -> None:
        self.control_end.close()
        self.worker_end.close()


def _send(end: socket.socket, reason: WakeupReason) -> None:
    try:
        end.send(reason.value)
    except OSError:
        return  # full: a wakeup is pending; closed: the next process reads shared memory when it starts


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
