"""Every alert of the rules has words, which are those of the page."""

import re
from pathlib import Path

import yaml

from balance.words.alerts import ALERTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "OBSERVABILITY.md").read_text()


def test_the_words_are_of_the_alerts_that_there_are() -> None:
    groups = yaml.safe_load((ROOT / "deployments" / "monitoring" / "rules" / "alerts.yml").read_text())["groups"]
    rules = {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert {name: word.severity for name, word in ALERTS.items()} == rules


def test_the_page_says_the_same() -> None:
    rows = re.findall(r"^\| `(Balance\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert {name: tuple(words) for name, *words in rows} == {name: tuple(word) for name, word in ALERTS.items()}
