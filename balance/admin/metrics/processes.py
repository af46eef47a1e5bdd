"""CPU, memory and descriptors of the instance's processes, from /proc. Zeros without /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import NamedTuple

try:
    TICKS_PER_S = os.sysconf("SC_CLK_TCK")
except (ValueError, OSError):
    TICKS_PER_S = 100


_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # as containers see their own


class Usage(NamedTuple):
    """CPU and memory of one or several processes."""

    cpu_s: float = 0.0
    memory_bytes: int = 0  # proportional: a page shared by n processes counts 1/n in each, so that sums are true
    virtual_bytes: int = 0
    open_fds: int = 0


def usage(pid: int) -> Usage:
    """One process; zeros when it has exited."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()  # the name may hold spaces and brackets
        return Usage(
            cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
            memory_bytes=_proportional_bytes(pid) or int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            virtual_bytes=int(fields[20]),
            open_fds=_open_fds(pid),
        )
    except (OSError, ValueError, IndexError):
        return Usage()


def ended_children_cpu_s(pid: int) -> float:
    """The CPU time of all children that have ended and were waited for, and of theirs."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        return (int(fields[13]) + int(fields[14])) / TICKS_PER_S
    except (OSError, ValueError, IndexError):
        return 0.0


def memory_limit_bytes() -> int:
    """What this machine or control group has, the smaller; 0 where neither is told."""
    limits = []
    for path in _GROUP_LIMITS:
        try:
            with open(path, "rb") as file:
                limits.append(int(file.read()))  # `max` where there is none
        except (OSError, ValueError):
            continue
    with contextlib.suppress(ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((limit for limit in limits if limit > 0), default=0)


def _proportional_bytes(pid: int) -> int:
    """PSS; 0 where the kernel does not tell (privileges dropped, hardened, or before 4.14)."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return 0
    return 0


def _open_fds(pid: int) -> int:
    """0 where the kernel does not tell: of processes that have dropped their privileges."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def pid_namespace() -> str:
    """An identifier of the pid namespace: equal for two processes whose pids mean the same. Empty without /proc."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def total(usages: Iterable[Usage]) -> Usage:
    """The sum of several."""
    cpu_s, memory_bytes, virtual_bytes, open_fds = 0.0, 0, 0, 0
    for one in usages:
        cpu_s += one.cpu_s
        memory_bytes += one.memory_bytes
        virtual_bytes += one.virtual_bytes
        open_fds += one.open_fds
    return Usage(cpu_s, memory_bytes, virtual_bytes, open_fds)
