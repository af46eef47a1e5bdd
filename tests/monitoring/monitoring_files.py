"""What deployments/monitoring holds: panels with their queries, rules, and what they name."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parents[2] / "deployments" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "dashboards" / "balance.json").read_text())
# Of an expression: strings, words in it that are not names of metrics, and what stands before a bracket.
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
SELECTOR = re.compile(r"\{[^}]*\}")
DURATION = re.compile(r"\[[^\]]*\]|\boffset \w+")
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b(?!\s*\()")
WORDS = {"and", "or", "unless", "bool", "offset"}


class Query(NamedTuple):
    """One query of one panel."""

    panel: str
    expr: str
    legend: str


def panels() -> Iterator[dict[str, Any]]:
    """All of them, rows and the panels in closed rows included."""
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries() -> list[Query]:
    """Of all panels."""
    return [Query(each["title"], one["expr"], one["legendFormat"]) for each in panels() for one in each.get("targets", ())]


@functools.cache
def rules() -> list[dict[str, Any]]:
    """Of all files."""
    files = sorted((FOLDER / "rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """By their names."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def metrics(expr: str) -> set[str]:
    """The names of the metrics in an expression."""
    bare = STRING.sub("", DURATION.sub("", GROUPING.sub("", SELECTOR.sub("", STRING.sub('""', expr)))))
    return {name for name in NAME.findall(bare) if name not in WORDS}
