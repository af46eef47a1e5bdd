"""Commands work without open standard streams."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "deployments" / "examples" / "http-minimal.yaml"
BALANCE = f"{sys.executable} -m balance"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_stream_changes_no_verdict(closed: str) -> None:
    command = f"{BALANCE} validate {EXAMPLE} {closed}"
    assert subprocess.run(command, shell=True, timeout=30, stderr=subprocess.DEVNULL).returncode == 0


def test_next_descriptor_is_never_a_standard_one(tmp_path: Path) -> None:
    script = (
        "from balance.cli.streams import ensure_standard_streams as ensure; ensure(); import socket, sys; print(1);"
        f"open({str(tmp_path / 'fd')!r}, 'w').write(str(socket.socket().fileno()))"
    )
    subprocess.run(f'{sys.executable} -c "{script}" <&- >&- 2>&-', shell=True, timeout=30, check=True)
    assert int((tmp_path / "fd").read_text()) > 2
