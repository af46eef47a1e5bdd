"""System calls about the process itself: its name, its parent's death, its heap, its open files. No-ops outside Linux."""

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

# malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
# What uvloop sets aside for each TLS connection, those to backends, to use the first kilobytes of; no read is as long.
TLS_BUFFER_BYTES = 256 * 1024
SPARE_BYTES = 4 << 20  # free memory at the end of the heap that is kept

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


def set_up_heap() -> None:
    """For this process and those that it will fork. No effect where the C library is not glibc.

    Blocks as large as uvloop's buffers of TLS are mapped by themselves, and are no memory where they are not used. By default
    glibc does so only until one was freed, and an idle TLS connection weighs twice as much. Threads have no heaps of their own.
    What is free now goes back to the system, or each child would dirty its own copy.
    """
    try:
        library = ctypes.CDLL(None)
        mallopt, malloc_trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError):  # musl
        return
    mallopt(M_MMAP_THRESHOLD, TLS_BUFFER_BYTES)
    mallopt(M_TRIM_THRESHOLD, SPARE_BYTES)
    mallopt(M_ARENA_MAX, 1)
    malloc_trim(0)


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
