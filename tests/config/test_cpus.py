"""The CPUs that a container may use, from copies of /proc and cgroup files."""

from pathlib import Path

import pytest

from balance.config.cpus import cgroup_quotas, cpu_count, limit_cpus


@pytest.mark.parametrize(
    ("affinity", "quotas", "cpus"),
    [(8, [], 8), (8, [2.0], 2), (8, [2.9], 2), (8, [0.5], 1), (2, [4.0], 2), (8, [6.0, 3.0], 3)],
)
def test_the_smallest_bound_holds_and_is_never_below_one(affinity: int, quotas: list[float], cpus: int) -> None:
    assert limit_cpus(affinity, quotas) == cpus


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_version_2_quotas_of_the_group_and_of_those_above_it(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod7\n",
            "sys/fs/cgroup/kubepods/pod7/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/kubepods/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
        },
    )
    assert cgroup_quotas(root) == [1.5, 4.0]


def test_version_2_quota_where_the_path_is_not_visible_from_inside(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
    )
    assert cgroup_quotas(root) == [2.0]


def test_version_1_quota_and_its_minus_one(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "250000",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup_quotas(root) == [2.5]


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert cgroup_quotas(tmp_path) == []
    assert cpu_count(tmp_path) >= 1
