"""Value types: parsing, messages, and that the JSON Schema of a type accepts what its parser accepts."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from balance.config.schema import scalars as kind
from balance.config.schema.scalars import Scalar, display


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        ("x", "'x'"),
        (5, "5"),
        ([1], "a list"),
        ({}, "a mapping"),
        ("y" * 200, "'" + "y" * 96 + "..."),
    ],
)
def test_a_value_is_shown_as_it_was_written(value: object, text: str) -> None:
    assert display(value) == text


ACCEPTED: list[tuple[Scalar, Any, Any]] = [
    (kind.FLAG, True, True),
    (kind.FLAG_OR_AUTO, False, False),
    (kind.FLAG_OR_AUTO, "auto", None),
    (kind.TEXT, "x", "x"),
    (kind.TEXT, 5, "5"),
    (kind.SECRET, "a b", "a b"),
    (kind.SECRET, " \ta b\r\n", "a b"),
    (kind.SECRET, "\n", ""),
    (kind.SECRET, 5, "5"),
    (kind.choice("round-robin"), "Round_Robin", "round-robin"),
    (kind.choice("warning", spellings={"warn": "warning"}), "WARN", "warning"),
    (kind.integer(1, 5), 5, 5),
    (kind.fraction(), 1, 1.0),
    (kind.fraction(or_full=True), 0.1, 0.1),
    (kind.fraction(or_full=True), "full", None),
    (kind.number(1, 100), 1.5, 1.5),
    (kind.RETRY_ON, "connect", "connect"),
    (kind.RETRY_ON, "Reset", "reset"),
    (kind.RETRY_ON, 503, 503),
    (kind.RETRY_ON, 429, 429),
    (kind.RETRY_ON, "timeout", "timeout"),
    (kind.PASSIVE_CHECK_COUNT, "Broken", "broken"),
    (kind.PASSIVE_CHECK_COUNT, 500, 500),
    (kind.duration(), "5s", 5.0),
    (kind.duration(or_off=True), 0, 0.0),
    (kind.duration(or_auto=True), "auto", None),
    (kind.count_or_auto(1, 9), "auto", 0),
    (kind.count_or_auto(1, 9), 9, 9),
    (kind.size(), "1KB", 1024),
    (kind.STATUS_RANGE, 204, (204, 204)),
    (kind.STATUS_RANGE, "200-299", (200, 299)),
    (kind.URL_PATH, "/health?deep=1", "/health?deep=1"),
    (kind.FIELD_NAME, "X-Token", "X-Token"),
    (kind.ERROR_STATUS, "503", 503),
]


@pytest.mark.parametrize(("scalar", "written", "value"), ACCEPTED)
def test_a_right_value_is_read(scalar: Scalar, written: Any, value: Any) -> None:
    assert scalar.read(written) == value


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Validates with the few keywords of JSON Schema that the value types use."""
    if "anyOf" in schema:
        return any(accepts(inner, value) for inner in schema["anyOf"])
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    types = schema.get("type", names[type(value)])
    name = names[type(value)]
    return (
        (name in types or (name == "integer" and types == "number"))
        and ("enum" not in schema or value.lower() in schema["enum"])
        and ("const" not in schema or value == schema["const"])
        and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
        and value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
    )


@pytest.mark.parametrize(("scalar", "written", "value"), ACCEPTED)
def test_an_editor_accepts_what_is_accepted(scalar: Scalar, written: Any, value: Any) -> None:
    assert accepts(scalar.schema, written)


@pytest.mark.parametrize(
    ("scalar", "wrong"),
    [
        (kind.FLAG, "yes"),
        (kind.choice("a", "b"), "c"),
        (kind.integer(1, 5), 6),
        (kind.integer(1, 5), "5"),
        (kind.fraction(), 1.5),
        (kind.fraction(or_full=True), "half"),
        (kind.number(1, 100), 0.5),
        (kind.RETRY_ON, "refused"),
        (kind.RETRY_ON, 399),
        (kind.duration(), "5x"),
        (kind.size(), "5 potatoes"),
        (kind.count_or_auto(1, 9), 10),
        (kind.ERROR_STATUS, "200"),
    ],
)
def test_an_editor_refuses_what_is_refused(scalar: Scalar, wrong: Any) -> None:
    with pytest.raises(ValueError):
        scalar.read(wrong)
    assert not accepts(scalar.schema, wrong)


@pytest.mark.parametrize("read", [kind.TEXT.read, kind.NAME.read, kind.FILE.read])
def test_half_a_character_is_no_text(read: Callable[[Any], Any]) -> None:
    assert read("\U0001f40d") == "\U0001f40d"
    with pytest.raises(ValueError, match=r"^the text has half of a character"):
        read("a\ud800")
