"""A command that is told the size."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from balance.autoscaling.settings import AutoscalerConfig
from balance.process.control.autoscaling.driver import Change, DriverError
from balance.process.control.autoscaling.exec_driver import ExecDriver

CHANGE = Change("web", 2, 3, 41, "the load")


def scale(*command: str, timeout_s: float = 10.0) -> None:
    config = AutoscalerConfig(enabled=True, driver="exec", command=command, timeout_s=timeout_s)
    asyncio.run(ExecDriver(config, "web").scale(CHANGE))


def test_it_is_told_by_its_arguments_and_its_environment(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = 'echo "$1 $BALANCE_POOL $BALANCE_CURRENT $BALANCE_DESIRED $BALANCE_FENCING_TOKEN" > "$2"'
    scale("/bin/sh", "-c", script, "sh", "{pool}:{current}->{desired}@{token}", str(out))
    assert out.read_text() == "web:2->3@41 web 2 3 41\n"


def test_no_shell_reads_a_pool_s_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = AutoscalerConfig(enabled=True, driver="exec", command=("/usr/bin/touch", str(out) + "{pool}"))
    change = Change("$(false);x", 1, 2, 1, "")
    asyncio.run(ExecDriver(config, change.pool).scale(change))
    assert (tmp_path / "out$(false);x").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/bin/sh", "-c", "echo no such group >&2; exit 3"), "the command failed, exit status 3: no such group"),
        (("/bin/sh", "-c", "kill -9 $$"), "the command failed, killed by signal 9"),
        (("/nowhere/scale", "{desired}"), "the command '/nowhere/scale' can't be run: no such file or directory"),
        (("/etc/passwd",), "the command '/etc/passwd' can't be run: permission denied"),
    ],
)
def test_what_goes_wrong_is_one_line(command: tuple[str, ...], words: str) -> None:
    with pytest.raises(DriverError) as found:
        scale(*command)
    assert str(found.value) == words


@pytest.mark.long
def test_one_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = f"import subprocess,time; subprocess.Popen(['sh','-c','sleep 1.5; echo x > {mark}']); time.sleep(60)"
    with pytest.raises(DriverError, match=r"did not end within 0\.5s, and was killed"):
        scale(sys.executable, "-c", script, timeout_s=0.5)
    time.sleep(1.6)
    assert not mark.exists()


def test_output_without_end_is_bounded() -> None:
    with pytest.raises(DriverError) as found:
        scale("/bin/sh", "-c", "yes | head -c 3000000; exit 1")
    assert len(str(found.value)) < 400
