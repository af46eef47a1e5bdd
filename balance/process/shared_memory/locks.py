"""A lock per backend over all processes: a byte each of a file without a name, held by the kernel's record locks.

The kernel lets go what a dead process held. Nobody waits in it: a holder needs microseconds, and who does not get the lock
within a few hundred tries goes on without.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile

ROWS_LOCK = 1 << 40  # no backend's, but that of the board's rows: see `tenancy`
TRIES = 300  # with a turn for others between two: about a millisecond


class Locks:
    """Made before the fork; record locks belong to processes, so that the children share the file and not the locks."""

    __slots__ = ("_fd",)

    def __init__(self, inherited_fd: int | None = None) -> None:
        """`inherited_fd` is the file of an instance that is being replaced: its processes still take locks in it."""
        if inherited_fd is not None:
            self._fd = inherited_fd
        elif sys.platform == "linux":
            self._fd = os.memfd_create("balance-locks")
        else:
            with tempfile.TemporaryFile() as file:
                self._fd = os.dup(file.fileno())

    def fileno(self) -> int:
        """The file, for whoever is to share it."""
        return self._fd

    def take(self, slot: int) -> bool:
        """Try to get the lock of that backend. One that this process holds already is got again: a loop, not a thread."""
        for _ in range(TRIES):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
            except OSError:
                os.sched_yield()
            else:
                return True
        return False

    def leave(self, slot: int) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, slot)
