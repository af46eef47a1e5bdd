"""A message pipe between the supervisor and one child: a SOCK_SEQPACKET pair, pickled messages with descriptors (SCM_RIGHTS).

A pipe belongs to one child process, so a restarted child never gets its predecessor's messages. Sending and receiving never
block: a child that does not read counts as one that does not answer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

log = logging.getLogger("balance.process")

# Packets keep messages apart. macOS has no SEQPACKET for Unix sockets; a datagram pair differs only in telling no EOF.
SOCKET_TYPE = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
INLINE_BYTES = 32 * 1024  # longer messages go in a memfd
MAX_MESSAGE_BYTES = 1 << 30  # a configuration of 100,000 backends takes a twentieth
MAX_FDS = 200  # in one message; the kernel's limit is 253 (SCM_MAX_FD)
_MORE_FDS = pickle.dumps(("", None))  # descriptors for the message that follows


class Message(NamedTuple):
    """One message; its descriptors are the receiver's to close."""

    kind: str
    data: Any
    fds: tuple[int, ...]


class PipeEnd:
    """One end of a pipe. Pickled data of a supervisor is trusted, and that of a child that has not dropped its privileges."""

    __slots__ = ("_fds", "_is_broken", "_loads", "_socket")

    def __init__(self, sock: socket.socket, loads: Callable[[bytes], Any] = pickle.loads) -> None:
        """`loads` reads what comes; see `untrusted`. UnpicklingError there ends the pipe."""
        sock.setblocking(False)
        self._loads = loads
        self._socket = sock
        self._fds: list[int] = []  # descriptors of a message in several packets
        self._is_broken = False  # a message was sent in part; anything after it would be misparsed

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, kind: str, data: Any = None, fds: Sequence[int] = ()) -> bool:
        """Send one message. False when the other end is closed or its buffer is full."""
        packet = pickle.dumps((kind, data), pickle.HIGHEST_PROTOCOL)
        if len(packet) <= INLINE_BYTES:
            return self._send_all(packet, fds)
        try:
            file = to_memfd(packet)
        except OSError:  # no descriptor or no memory is left
            return False
        try:
            return self._send_all(b"", [file, *fds])
        finally:
            os.close(file)

    def _send_all(self, packet: bytes, fds: Sequence[int]) -> bool:
        if self._is_broken:
            return False
        sent = 0
        try:
            while len(fds) - sent > MAX_FDS:
                self._send(_MORE_FDS, fds[sent : sent + MAX_FDS])
                sent += MAX_FDS
            self._send(packet, fds[sent:])
        except OSError:
            self._is_broken = sent > 0
            return False
        return True

    def _send(self, packet: bytes, fds: Sequence[int]) -> None:
        # A packet of nothing is an end of file, so that there is always one byte.
        socket.send_fds(self._socket, [b"\x00" + packet], list(fds))

    def receive(self) -> tuple[list[Message], bool]:
        """Every message that has arrived, and False when the other end is closed."""
        messages: list[Message] = []
        was_reset = False
        while True:
            try:
                packet, fds, flags, _ = socket.recv_fds(self._socket, INLINE_BYTES + 1024, MAX_FDS)
            except BlockingIOError:
                return messages, True
            except ConnectionResetError:
                # The other end closed with unread data. Its own last messages can still be read.
                if was_reset:
                    return messages, False
                was_reset = True
                continue
            except OSError:
                return messages, False
            if not packet:
                return messages, False
            try:
                if flags & socket.MSG_CTRUNC:
                    self._append_without_fds(packet[1:], fds, messages)
                else:
                    self._append_message(packet[1:], fds, messages)
            except pickle.UnpicklingError as error:
                log.error("a child says what it has no right to say, and is not listened to any more: %s", error)
                return messages, False

    def _append_without_fds(self, packet: bytes, fds: Sequence[int], messages: list[Message]) -> None:
        """The descriptor limit is reached (MSG_CTRUNC): deliver the message without descriptors; the receiver refuses it."""
        for fd in (*self._fds, *fds):
            os.close(fd)
        self._fds = []
        if packet:
            kind, data = self._loads(packet)
            if kind:
                messages.append(Message(kind, data, ()))

    def _append_message(self, packet: bytes, fds: Sequence[int], messages: list[Message]) -> None:
        self._fds += fds
        if packet:
            kind, data = self._loads(packet)
            if not kind:
                return  # descriptors for the message that follows
        else:
            if not self._fds:
                raise pickle.UnpicklingError("no message, and no file with one")
            file = self._fds.pop(0)
            try:
                kind, data = from_memfd(file, self._loads)
            finally:
                os.close(file)
        messages.append(Message(kind, data, tuple(self._fds)))
        self._fds = []

    def close(self) -> None:
        for fd in self._fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._fds = []
        self._socket.close()


def pipe_pair(loads: Callable[[bytes], Any] = pickle.loads) -> tuple[PipeEnd, PipeEnd]:
    """Both ends of a new pipe, the supervisor's first; it reads by `loads`."""
    one, other = socket.socketpair(socket.AF_UNIX, SOCKET_TYPE)
    return PipeEnd(one, loads), PipeEnd(other)


def to_memfd(packet: bytes) -> int:
    """Write a pickled (kind, data) to a memfd; returns its descriptor."""
    if sys.platform == "linux":
        file = os.memfd_create("balance-message")
    else:
        import tempfile

        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    view = memoryview(packet)
    while view:
        view = view[os.write(file, view) :]
    return file


def from_memfd(file: int, loads: Callable[[bytes], Any] = pickle.loads) -> tuple[str, Any]:
    """Read a pickled (kind, data) from a memfd, from its start."""
    size = os.fstat(file).st_size
    if size > MAX_MESSAGE_BYTES:
        raise pickle.UnpicklingError("a message that is too long")
    kind, data = loads(os.pread(file, size, 0))
    return kind, data
