"""How processes tell each other that something on the board has changed: a bell. What has changed is on the board itself.

A message says only what to look at, so one that is lost because a bell rings already, or that was meant for a dead
process, changes nothing: whoever comes reads the board. One pair of sockets per row of the board, made before the first fork
and inherited by every successor on either end: control and the other workers ring the worker, the worker rings control.
"""

from __future__ import annotations

import enum
import socket

from balance.process.ipc.pipe import KIND

PACKET_BYTES = 64


class Message(enum.Enum):
    """What somebody is told to look at."""

    STATES = b"states"  # the states of the backends and their breakers
    PERMITS = b"permits"  # permits of backends with a limit: some are wanted, or were given back
    EVIDENCE = b"evidence"  # how traffic fares


class Wakeup:
    """One row's pair. A worker keeps its own `worker_end` and closes the others'; control closes them all."""

    __slots__ = ("control_end", "worker_end")

    def __init__(self) -> None:
        self.control_end, self.worker_end = socket.socketpair(socket.AF_UNIX, KIND)
        self.control_end.setblocking(False)
        self.worker_end.setblocking(False)

    def ring(self, message: Message) -> None:
        """Tell the worker. Never waits."""
        _send(self.control_end, message)

    def ring_control(self, message: Message) -> None:
        """In the worker: tell control. Never waits."""
        _send(self.worker_end, message)

    def heard(self) -> set[Message]:
        """In the worker: everything that has come since the last call."""
        return _received(self.worker_end)

    def heard_by_control(self) -> set[Message]:
        """In control: everything that has come from this worker since the last call."""
        return _received(self.control_end)

    def close(self) -> None:
        self.control_end.close()
        self.worker_end.close()


def _send(end: socket.socket, message: Message) -> None:
    try:
        end.send(message.value)
    except OSError:
        return  # full: bells enough are waiting there; or nobody is there: the successor will read the board


def _received(end: socket.socket) -> set[Message]:
    messages: set[Message] = set()
    while True:
        try:
            packet = end.recv(PACKET_BYTES)
        except OSError:
            return messages
        if not packet:
            return messages
        messages.add(Message(packet))
