"""What is asked of the operating system about a process itself: its name, its parent, how many files it may open.

Linux is what Balance is made for; elsewhere these calls change nothing and everything else goes on.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
NAME_BYTES = 15

# Containers are given a billion, and the commands of checks inherit it: there are programs that close each of them.
MAX_FILES = 1 << 20


def set_process_name(name: str) -> None:
    """What `ps`, `top` and `pgrep` call this process."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:NAME_BYTES]), 0, 0, 0)


def set_parent_death_signal(parent: int, signum: signal.Signals) -> None:
    """Be sent `signum` when the parent dies, however it dies. Exits at once when it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def raise_file_limit() -> int:
    """Raise the limit of open files as far as it goes and is of use; returns it. A proxied connection takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        return soft  # macOS calls it unlimited and then refuses
    return wanted
