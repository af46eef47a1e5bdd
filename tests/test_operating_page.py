"""docs/OPERATING.md has a line for each word that logs and metrics use, and for no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from balance.cli.main import COMMANDS
from balance.log_lines.access_record import FIELDS
from balance.model import Why
from balance.retry.decision import RetryOutcome

TEXT = (Path(__file__).parents[1] / "docs" / "OPERATING.md").read_text()
NOT_OF_A_RUNNING_INSTANCE = ("serve", "validate", "demo", "backend")


def section(heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {heading}"
    return found[1]


def listed(heading: str) -> list[str]:
    """The names in the first column of that section's table."""
    rows = [line.split("|")[1] for line in section(heading).splitlines() if line.startswith("| `")]
    return [name for cell in rows for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("`why`", [why.word for why in Why]),
        ("`retry`", [again.word for again in RetryOutcome if again.word]),
        ("Access log", list(FIELDS)),
    ],
)
def test_every_word_has_its_line(heading: str, words: list[str]) -> None:
    found = listed(heading)
    assert len(found) == len(set(found))
    assert set(found) == set(words)


def test_every_line_says_something() -> None:
    for line in TEXT.splitlines():
        if line.startswith("| `"):
            assert len(line.split("|")[2].strip()) > 5, line


def test_every_command_for_a_running_instance_is_named() -> None:
    wanted = [name for name in COMMANDS if name not in NOT_OF_A_RUNNING_INSTANCE]
    missing = [name for name in wanted if not re.search(rf"`(balance )?{name}\b", TEXT)]
    assert missing == []
