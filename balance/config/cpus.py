"""The number of CPUs for `workers: auto`: the affinity mask, limited by cgroup v1 and v2 CPU quotas.

A container sees all CPUs of its host; workers beyond its quota would only be throttled.
"""

from __future__ import annotations

import os
from pathlib import Path


def limit_cpus(affinity: int, quotas: list[float]) -> int:
    """The smallest of the affinity mask and the quotas, at least 1; rounded down, since a throttled worker stalls."""
    return max(1, int(min([float(affinity), *quotas])))


def cpu_count(root: Path = Path("/")) -> int:
    """The CPUs that this process may use. `root` is the directory that has proc and sys; tests set it."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return limit_cpus(affinity, cgroup_quotas(root))


def cgroup_quotas(root: Path) -> list[float]:
    """Every CPU quota that applies to this process, in CPUs: those of its own cgroup and of all parent cgroups."""
    quotas: list[float] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":  # version 2: one hierarchy, "0::/path"
            mount, read = root / "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            mount, read = root / "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        # Inside a container the path may be the host's and absent below the mount; then the mount point has the quota.
        path = mount / group.strip("/")
        for folder in (path, *path.parents):
            if not folder.is_relative_to(mount):
                break
            quota = read(folder)
            if quota is not None:
                quotas.append(quota)
    return quotas


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)  # "max 100000" is no quota


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return None  # version 1 says -1 for no quota


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
