"""One of three backends in trouble under load, and well again, in whole instances: no promise is broken.

`python3 tests/chaos/kill.py` and its neighbours are the same drills, longer and with a table.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fault_report import FaultReport
from fault_run import DETECTIONS, FaultRun
from injected_faults import FAULTS

AT_ONCE = 6  # they spend most of their time waiting


def drill(name: str, directory: Path) -> FaultReport:
    directory.mkdir()
    with FaultRun(FAULTS[name], directory) as trouble:
        return trouble.run(before_s=0.5, during_s=1.5, after_s=1.2 if FAULTS[name].backup else 0.3)


def broken_promises(name: str, findings: FaultReport) -> list[object]:
    broken: list[object] = [each for each in findings.guarantees() if not each.holds and not each.is_timing]
    if min(map(len, findings.phases.values())) <= 20:
        broken.append("there was hardly any load")
    if FAULTS[name].is_failing and not any(word in line for _, line in findings.log_lines for word in DETECTIONS):
        broken.append("no line of the log says that it was noticed")
    return broken


@pytest.mark.long
@pytest.mark.drill
@pytest.mark.timeout(240)
def test_what_is_promised_of_a_backend_in_trouble_is_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as executor:
        reports = dict(zip(FAULTS, executor.map(drill, FAULTS, [tmp_path / name for name in FAULTS]), strict=True))
    broken = {name: promises for name, findings in reports.items() if (promises := broken_promises(name, findings))}
    for name in broken:
        sys.stdout.write(f"{name}\n{reports[name].table()}\n{reports[name].log}\n")
    assert broken == {}
