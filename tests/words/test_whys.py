"""Every `why` has a row, and what its row names is there: configuration keys, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from balance.admin.metrics.catalog import CATALOG
from balance.cli.main import COMMANDS
from balance.model import Why
from balance.words.log_fields import ACCESS_FIELDS, PROCESS_FIELDS
from balance.words.retries import RETRIES
from balance.words.symptoms import SYMPTOMS
from balance.words.whys import WHYS

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "CONFIGURATION.md").read_text()
# The last two words of every key: a section, which is among the words of its heading, and a row of it.
KEYS = {
    (word, key)
    for section in REFERENCE.split("\n## ")
    for word in re.split(r"[ .]", section.partition("\n")[0])
    for key in re.findall(r"(?m)^\| `(\w+)` \|", section)
}
KEY = re.compile(r"(?<![\w./$\[])([a-z_]+(?:\.[a-z_]+)+)\b")
CODE = re.compile(r"`([^`]+)`")


def texts() -> Iterator[str]:
    for row in (*WHYS.values(), *RETRIES.values(), *ACCESS_FIELDS.values(), *PROCESS_FIELDS.values()):
        yield from row
    for symptom in SYMPTOMS:
        yield symptom.change
        yield from (look.command for look in symptom.looks)
    for definition in CATALOG:
        yield from (definition.help, definition.advice, definition.shown)


def test_every_why_has_its_row_in_order_of_its_number() -> None:
    assert list(WHYS) == list(Why)


@pytest.mark.parametrize("why", Why, ids=lambda why: why.word)
def test_a_row_says_what_it_means_where_to_look_and_what_to_change(why: Why) -> None:
    row = WHYS[why]
    assert len(row.meaning) > 5
    assert row.look
    assert row.change


def test_every_key_that_is_named_is_in_the_reference() -> None:
    named = {key for text in texts() for key in KEY.findall(text) if not key.endswith((".log", ".yaml", ".md"))}
    assert len(named) > 25
    assert {key for key in named if tuple(key.split(".")[-2:]) not in KEYS} == set()


def test_every_metric_that_is_named_is_one() -> None:
    known = {definition.name for definition in CATALOG}
    page = (ROOT / "docs" / "OBSERVABILITY.md").read_text()
    named = set(re.findall(r"`((?:balance|process)_\w+)[`{]", "\n".join([*texts(), page])))
    assert len(named) > 70
    assert named - known == set()


def test_every_command_that_is_named_is_one() -> None:
    named = {words[1] for text in texts() for code in (text, *CODE.findall(text)) if (words := code.split())[:1] == ["balance"]}
    assert named
    assert named - set(COMMANDS) == set()
