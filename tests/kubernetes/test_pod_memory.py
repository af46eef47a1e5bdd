"""The memory that a pod asks for is what an instance with its configuration takes, as the kernel shares it out (PSS)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import rendered_manifests as manifests
from instance_process import Origin
from test_rolling_update import Pod

from balance.config.cpus import limit_cpus
from balance.config.route_model import Buffering

pytestmark = [pytest.mark.long, pytest.mark.drill]
BUFFERED_MIB = Buffering().total_bytes >> 20  # for each worker, where it is used at all


def pss_mib(group: int) -> float:
    """Of every process of the group."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.getpgid(int(folder.name)) == group:
                    text = (folder / "smaps_rollup").read_text()
                    total += int(text.partition("\nPss:")[2].split()[0])
            except (OSError, IndexError):
                continue
    return total / 1024


def test_requests_and_limits_are_above_what_is_measured(tmp_path: Path) -> None:
    resources = manifests.container("base")["resources"]
    workers = limit_cpus(64, [manifests.cpus(resources["limits"]["cpu"])])
    origin = Origin("app")
    pod = Pod(tmp_path, [origin.address], 0.0, workers=workers)
    try:
        pod.started()
        assert pod.instance.saying(r"workers: (\d+)")[1] == str(workers)
        for _ in range(50):
            assert pod.instance.get("/", pod.port)[0] == 200
        for path in ("/metrics", "/ready"):
            assert pod.instance.get(path, pod.probe_port)[0] == 200
        taken = pss_mib(pod.instance.process.pid)
    finally:
        pod.instance.destroy()
        origin.stop()
    requested, limit = (manifests.mebibytes(resources[each]["memory"]) for each in ("requests", "limits"))
    assert taken * 1.2 < requested, f"{taken:.0f} MiB are taken"
    assert taken + workers * BUFFERED_MIB + 50 < limit, f"{taken:.0f} MiB are taken"
    assert requested < 3 * taken, "more is asked for than is used: nodes would stand empty"
