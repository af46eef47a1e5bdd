"""Values and their positions as read from YAML."""

import pytest

from balance.config.reading.reader import read
from balance.errors import ConfigError


def read_text(text: str, **env: str) -> dict[str, object]:
    document, problems = read(text, "f.yaml", env)
    assert problems == []
    return document.data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1", {"a": 1}),
        ("a: -1.5", {"a": -1.5}),
        ("a: true\nb: False", {"a": True, "b": False}),
        ("a:\nb: ~\nc: null", {"a": None, "b": None, "c": None}),
        ("country: NO\nswitch: on", {"country": "NO", "switch": "on"}),
        ("a: 010\nb: 0x10\nc: 1_000\nd: 12:30:45", {"a": "010", "b": "0x10", "c": "1_000", "d": "12:30:45"}),
        ("a: '1'\nb: \"true\"", {"a": "1", "b": "true"}),
        ("a: !!str 1", {"a": "1"}),
        ("1: x\ntrue: y", {"1": "x", "true": "y"}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}", {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}),
        ("a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y]}", {"a": {"k": 1}, "b": {"k": 2, "l": 2}, "c": {"k": 1, "l": 2}}),
        ("a: " + "9" * 5000, {"a": "9" * 5000}),
    ],
)
def test_values_are_read_as_yaml_1_2_has_them(text: str, data: dict[str, object]) -> None:
    assert read_text(text) == data


def test_a_plain_variable_is_a_number_and_a_quoted_one_is_text() -> None:
    assert read_text('a: ${N}\nb: "${N}"\nc: ${X:-true}\nd: ${E}', N="5", E="") == {"a": 5, "b": "5", "c": True, "d": ""}


def test_places_are_from_one_and_of_the_value() -> None:
    document, _ = read("mode: http\nbackends:\n  - address: x\n    weight: 2\n", "f.yaml", {})
    assert str(document.problem(("backends", 0, "weight"), "m")) == "f.yaml:4:13: backends[0].weight: m"
    assert str(document.problem(("backends", 0, "weight"), "m", of_key=True)) == "f.yaml:4:5: backends[0].weight: m"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: a: given twice (first at line 1); keep one"),
        ("a:\n  b: 1\n  'b': 2", "f.yaml:3:3: a.b: given twice (first at line 2); keep one"),
        ("a: ${NOPE}", "f.yaml:1:4: a: the variable NOPE is not set; set it, or write ${NOPE:-default}"),
        ("? [x]\n: 1", "f.yaml:1:3: a list or a mapping stands where a key belongs"),
        ("a: {<<: 5}", "f.yaml:1:9: a.<<: only a mapping can be merged, as in <<: *defaults"),
    ],
)
def test_problems_that_let_one_read_on(text: str, message: str) -> None:
    _, problems = read(text, "f.yaml", {})
    assert [str(problem) for problem in problems] == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1:1: is empty; the least it needs is mode, listen and backends"),
        ("# only a comment\n", "f.yaml:1:1: is empty; the least it needs is mode, listen and backends"),
        ("---\n...\n", "f.yaml:1:1: is empty; the least it needs is mode, listen and backends"),
        ("- a", "f.yaml:1:1: a list stands at the top; write keys, like mode:, listen: and backends:"),
        ("\n  hello", "f.yaml:2:3: a single value stands at the top; write keys, like mode:, listen: and backends:"),
    ],
)
def test_a_text_without_keys_is_said_to_have_none(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "f.yaml", {})
    assert str(caught.value) == message


def test_a_bomb_of_aliases_is_stopped_by_its_count() -> None:
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="more than 300,000 values once its aliases are followed"):
        read("a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(rows), "f.yaml", {})


def test_aliases_cannot_nest_deeper_than_text_may() -> None:
    rows = ["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60))]
    with pytest.raises(ConfigError, match="nested too deep"):
        read("\n".join(rows), "f.yaml", {})
