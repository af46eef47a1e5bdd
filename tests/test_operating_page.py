"""docs/OPERATING.md names every command for a running instance, and every line of its tables says something."""

from __future__ import annotations

import re
from pathlib import Path

from balance.cli.main import COMMANDS

TEXT = (Path(__file__).parents[1] / "docs" / "OPERATING.md").read_text()
NOT_OF_A_RUNNING_INSTANCE = ("serve", "validate", "demo", "backend", "explain", "tcp-bench", "latency-test")


def test_every_line_says_something() -> None:
    for line in TEXT.splitlines():
        if line.startswith("| `"):
            assert len(line.split("|")[2].strip()) > 5, line


def test_every_command_for_a_running_instance_is_named() -> None:
    wanted = [name for name in COMMANDS if name not in NOT_OF_A_RUNNING_INSTANCE]
    missing = [name for name in wanted if not re.search(rf"`(balance )?{name}\b", TEXT)]
    assert missing == []
