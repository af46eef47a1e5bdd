"""Every kind of event that is published anywhere has a row, and only those; with the fields that it is published with."""

import ast
from functools import cache
from pathlib import Path

from balance.words.events import EVENTS

PACKAGE = Path(__file__).parents[2] / "balance"


@cache
def published() -> dict[str, set[str]]:
    """The kinds that calls of publish() begin with, and the fields that these name."""
    found: dict[str, set[str]] = {}
    texts = [text for file in PACKAGE.rglob("*.py") if "publish(" in (text := file.read_text())]
    for text in texts:
        for call in ast.walk(ast.parse(text)):
            if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Constant):
                continue
            if "publish" in (getattr(call.func, "attr", ""), getattr(call.func, "id", "")):
                found.setdefault(str(call.args[0].value), set()).update(word.arg for word in call.keywords if word.arg)
    return found


def test_every_kind_has_its_row_and_every_row_is_a_kind() -> None:
    assert set(EVENTS) == set(published())


def test_fields_are_named_in_the_row() -> None:
    missing = {kind: {name for name in names if f"`{name}`" not in EVENTS[kind].fields} for kind, names in published().items()}
    assert {kind: names for kind, names in missing.items() if names} == {}
