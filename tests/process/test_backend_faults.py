"""One of three backends in trouble under load, and well again, in whole instances: no promise is broken.

`python3 tests/chaos/kill.py` and its neighbours are the same drills, longer and with a table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from fault_report import FaultReport
from fault_run import DETECTIONS, FaultRun
from injected_faults import FAULTS

pytestmark = [pytest.mark.drill, pytest.mark.timeout(240), pytest.mark.xdist_group("faults")]  # one process has them all

AT_ONCE = 6  # they spend most of their time waiting


def drill(name: str, directory: Path) -> FaultReport:
    with FaultRun(FAULTS[name], directory) as trouble:
        return trouble.run(before_s=0.5, during_s=1.5, after_s=1.2 if FAULTS[name].backup else 0.3)


EVERY_TIME = ("kill", "freeze", "reset-read", "both-killed", "slow")
NAMES = [pytest.param(name, marks=() if name in EVERY_TIME else pytest.mark.long) for name in FAULTS]


@pytest.fixture(scope="module")
def drills(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[FaultReport]]]:
    """Those that were asked for begin together, whichever test is the first to wait for its own."""
    chosen = {item.callspec.params["name"] for item in request.session.items if item.path == request.path}  # type: ignore[attr-defined]
    with ThreadPoolExecutor(AT_ONCE) as executor:
        yield {name: executor.submit(drill, name, tmp_path_factory.mktemp(name)) for name in FAULTS if name in chosen}


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_what_is_promised_of_a_backend_in_trouble_is_kept(name: str, drills: dict[str, Future[FaultReport]]) -> None:
    findings = drills[name].result()
    sys.stdout.write(f"{findings.table()}\n{findings.log}\n")  # for whoever looks why it failed
    assert [promise for promise in findings.guarantees() if not promise.holds and not promise.is_timing] == []
    before, during, after = findings.phases.values()
    assert min(map(len, (before, during, after))) > 20  # there was a load
    assert not FAULTS[name].is_failing or any(
        order_result in line for _, line in findings.log_lines for order_result in DETECTIONS
    )
