"""How control tells a worker that something on the board has changed: a bell. What has changed is on the board itself.

A message says only what to look at, so one that is lost because a bell rings already, or that was meant for a dead
worker, changes nothing: whoever comes reads the board. One pair of sockets per worker slot, made before the first fork
and inherited by every successor on either end.
"""

from __future__ import annotations

import enum
import socket
import sys

# Packets keep messages apart. macOS has no SEQPACKET for Unix sockets; a datagram pair differs only in telling no EOF.
KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
PACKET_BYTES = 64


class Message(enum.Enum):
    """What a worker is told to look at."""

    STATES = b"states"  # the states of the backends


class Channel:
    """One slot's pair. Each process uses one end and closes the other."""

    __slots__ = ("control_end", "worker_end")

    def __init__(self) -> None:
        self.control_end, self.worker_end = socket.socketpair(socket.AF_UNIX, KIND)
        self.control_end.setblocking(False)
        self.worker_end.setblocking(False)

    def ring(self, message: Message) -> None:
        """In control: never waits."""
        try:
            self.control_end.send(message.value)
        except OSError:
            return  # full: bells enough are waiting there; or nobody is there: the successor will read the board

    def heard(self) -> set[Message]:
        """In the worker: everything that has come since the last call."""
        messages: set[Message] = set()
        while True:
            try:
                packet = self.worker_end.recv(PACKET_BYTES)
            except OSError:
                return messages
            if not packet:
                return messages
            messages.add(Message(packet))

    def close(self) -> None:
        self.control_end.close()
        self.worker_end.close()
