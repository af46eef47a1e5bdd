"""System calls about the process itself: its name, its parent's death, its limit of open files. No-ops outside Linux."""

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
    """The name that `ps`, `top` and `pgrep` show (PR_SET_NAME)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:NAME_BYTES]), 0, 0, 0)


def set_parent_death_signal(parent: int, signum: signal.Signals) -> None:
    """Get `signum` when the parent dies (PR_SET_PDEATHSIG). Exits at once when it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def is_alive(pid: int) -> bool:
    """Whether a process with that pid exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def raise_file_limit() -> int:
    """Raise RLIMIT_NOFILE as far as it is of use; returns it. A proxied connection takes two descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        return soft  # macOS calls it unlimited and then refuses
    return wanted
