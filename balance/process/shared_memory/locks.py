"""One lock per backend across all processes: fcntl(2) record locks on the bytes of a memfd.

The kernel releases the locks of a dead process. Waiting is bounded: holders need microseconds, and a process that does not get
the lock within TRIES attempts goes on without it.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile

ROWS_LOCK = 1 << 40  # the lock for row ownership, beyond every backend's byte
TRIES = 300  # with sched_yield() between: about a millisecond


class Locks:
    """Made before the fork; record locks belong to a process, so children share the file but not the locks."""

    __slots__ = ("_fd",)

    def __init__(self, inherited_fd: int | None = None) -> None:
        """`inherited_fd` is the memfd of the instance that is replaced, whose processes still use it."""
        if inherited_fd is not None:
            self._fd = inherited_fd
        elif sys.platform == "linux":
            self._fd = os.memfd_create("balance-locks")
        else:
            with tempfile.TemporaryFile() as file:
                self._fd = os.dup(file.fileno())

    def fileno(self) -> int:
        """The descriptor, for the handover."""
        return self._fd

    def take(self, slot: int) -> bool:
        """Try to acquire the backend's lock. Acquiring it again in the same process succeeds: processes have one thread."""
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
