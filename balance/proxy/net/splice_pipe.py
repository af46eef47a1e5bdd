"""Moves bytes from socket to socket in the kernel (splice(2)): they are not copied through this process.

What the sink does not take comes back as bytes, to be sent when there is room, as if they had been read. So the pipe in between
is empty after each move, and one is enough for all connections of a process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import Final

_PIPE_BYTES: Final = 1024 * 1024  # the most that is allowed to everybody (/proc/sys/fs/pipe-max-size)
HAS_SPLICE: Final = hasattr(os, "splice")  # Linux


class SplicePipe:
    """Empty between two moves; closed for good should one break off in its middle."""

    __slots__ = ("_read_end", "_write_end", "is_closed")

    def __init__(self) -> None:
        """OSError when there are no descriptors for it."""
        self.is_closed = False
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # the user's pipes have their limit together; then it has 64 KB
            fcntl.fcntl(self._write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close(self) -> None:
        self.is_closed = True
        os.close(self._read_end)
        os.close(self._write_end)

    def move(self, source: int, sink: int, most: int) -> tuple[int, bytes, OSError | None]:
        """Move up to `most` bytes between two sockets. OSError when the source fails; BlockingIOError when it has nothing.

        Returns how many bytes were taken, 0 at the source's end; those of them that the sink has not taken; and its error, if
        it has one.
        """
        taken = left = os.splice(source, self._write_end, most, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
        failure: OSError | None = None
        rest: list[bytes] = []
        try:
            while left:
                try:
                    left -= os.splice(self._read_end, sink, left, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
                except BlockingIOError:
                    break
                except OSError as error:
                    failure = error
                    break
            while left:
                rest.append(os.read(self._read_end, left))
                left -= len(rest[-1])
        finally:
            if left:  # never may another connection find them
                self.close()
        return taken, b"".join(rest), failure
