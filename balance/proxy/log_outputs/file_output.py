"""A file, a pipe or a terminal that takes lines. A file that was moved away or deleted is begun anew under its name."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from typing import Final

from balance.proxy.log_outputs.output import OutputTrouble, log

PIPE_BYTES: Final = select.PIPE_BUF  # what a pipe takes in one piece, when other workers write to it as well
LOOK_EVERY_S: Final = 1.0  # for a file that was moved away
_LF: Final = 10
# Opening these by name fails where they are sockets or another user's; what was inherited works.
INHERITED: Final = {"stdout": 1, "/dev/stdout": 1, "/dev/fd/1": 1, "stderr": 2, "/dev/stderr": 2, "/dev/fd/2": 2}


class FileOutput:
    """Lines are appended, so that several workers have one file, and a truncated one begins at its begin."""

    def __init__(self, output: str, opened: int | None = None) -> None:
        """`output` is stdout, stderr or a path; `opened` is the file, if it is open. OSError when it can't be opened."""
        inherited = INHERITED.get(output)
        self._path = output if inherited is None else ""
        if opened is not None:
            self._fd = opened
        else:
            self._fd = open_file(output) if inherited is None else os.dup(_inherited(inherited))
        status = os.fstat(self._fd)
        self._is_file = stat.S_ISREG(status.st_mode)
        self._inode = (status.st_dev, status.st_ino)
        self._look_at = 0.0
        self._is_torn = False  # the last line was written in part
        self._is_moved = False  # and can't be opened anew, which was said
        self._trouble = OutputTrouble(f"the access log ({output})")

    @property
    def longest(self) -> int:
        return sys.maxsize if self._is_file else PIPE_BYTES

    def write(self, lines: str) -> int:
        if self._is_file and self._path:
            self._follow()
        data = lines.encode("ascii", "backslashreplace")
        written = 0
        try:
            if self._is_torn:
                self._write(b"\n")
                self._is_torn = False
            while written < len(data):
                written += self._write(data[written : self._end(data, written)] if written or not self._is_file else data)
        except OSError as error:  # disk full, pipe closed: what is left is lost
            lost = data.count(b"\n", written)
            self._is_torn = self._is_torn or (written > 0 and data[written - 1] != _LF)
            self._trouble.failed(error.strerror or str(error), lost)
            return lost
        self._trouble.works()
        return 0

    def hurry(self) -> None:
        """Nothing: what is stuck in a write can't be told."""

    def close(self) -> None:
        os.close(self._fd)

    def _end(self, data: bytes, start: int) -> int:
        """Where a piece ends that begins at `start`: lines in a pipe are not torn apart by those of others."""
        if self._is_file:
            return len(data)
        return data.rfind(b"\n", start, start + PIPE_BYTES) + 1 or len(data)

    def _write(self, piece: bytes) -> int:
        while True:
            try:
                return os.write(self._fd, piece)
            except BlockingIOError:  # another process with the same terminal or pipe made it non-blocking
                room = select.poll()  # select() refuses descriptors above 1023
                room.register(self._fd, select.POLLOUT)
                room.poll()

    def _follow(self) -> None:
        """Open the file anew where another one, or none, has its name: rotation without a signal, or somebody's rm."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        try:
            status = os.stat(self._path)
            if (status.st_dev, status.st_ino) == self._inode:
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        try:
            fd = open_file(self._path)
        except OSError as error:  # its folder is gone, or may not be written to: the old file goes on
            if not self._is_moved:
                self._is_moved = True
                log.warning("the access log (%s) was moved away and can't be opened anew: %s", self._path, error.strerror)
            return
        os.close(self._fd)
        self._fd = fd
        status = os.fstat(fd)
        self._inode = (status.st_dev, status.st_ino)
        self._is_file = stat.S_ISREG(status.st_mode)
        self._is_torn = self._is_moved = False


def open_file(path: str) -> int:
    """Open the file to append to it. OSError when it can't be opened."""
    # Non-blocking, or opening a pipe without a reader would block the start.
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
    os.set_blocking(fd, True)
    return fd


def _inherited(number: int) -> int:
    stream = sys.stdout if number == 1 else sys.stderr
    return stream.fileno() if stream is not None else number
