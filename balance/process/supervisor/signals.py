"""Signals as something that can be waited for beside other descriptors: they arrive as bytes, and nothing interrupts."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from types import FrameType


class Signals:
    """The signals that this process takes itself, from now on."""

    def __init__(self, signums: Iterable[signal.Signals]) -> None:
        self._readable, self._writable = socket.socketpair()
        self._readable.setblocking(False)
        self._writable.setblocking(False)
        signal.set_wakeup_fd(self._writable.fileno(), warn_on_full_buffer=False)
        for signum in signums:
            signal.signal(signum, _ignore_signal)

    def fileno(self) -> int:
        """What becomes readable when a signal has come."""
        return self._readable.fileno()

    def received(self) -> list[signal.Signals]:
        """The signals that came since the last call, in order."""
        try:
            return [signal.Signals(number) for number in self._readable.recv(4096)]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """In a child: let go of the sockets. Which handlers apply there is the child's own business."""
        self._readable.close()
        self._writable.close()


def ignore() -> None:
    """All is over. While Python ends it gives back the handlers, and one more Ctrl-C would change the exit status."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)


def _ignore_signal(signum: int, frame: FrameType | None) -> None:
    """The byte on the wake-up descriptor has said it all; but without a handler the signal would act by default."""
