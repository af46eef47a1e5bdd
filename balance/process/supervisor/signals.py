"""Signals as bytes on a descriptor (signal.set_wakeup_fd), to be waited for in one selector; nothing is interrupted."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from types import FrameType


class Signals:
    """Catches these signals from now on."""

    def __init__(self, signums: Iterable[signal.Signals]) -> None:
        self._readable, self._writable = socket.socketpair()
        self._readable.setblocking(False)
        self._writable.setblocking(False)
        signal.set_wakeup_fd(self._writable.fileno(), warn_on_full_buffer=False)
        for signum in signums:
            signal.signal(signum, _ignore_signal)

    def fileno(self) -> int:
        """Readable when a signal has arrived."""
        return self._readable.fileno()

    def received(self) -> list[signal.Signals]:
        """The signals since the last call, in order."""
        try:
            return [signal.Signals(number) for number in self._readable.recv(4096)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """In a child: close the sockets. The child sets its own handlers."""
        self._readable.close()
        self._writable.close()


def ignore() -> None:
    """Ignore further signals at the very end: another Ctrl-C would change the exit status."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)


def _ignore_signal(signum: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has got the byte; without a handler the default action would run."""
