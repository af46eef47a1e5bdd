"""Loading: unreadable files, arbitrary texts, and the modules that are imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.config import UnreadableError, load_file, load_text
from balance.errors import ConfigError

VALID = """\
mode: http
listen: ":8080"
backends:
  - name: a
    address: 127.0.0.1:9001
    weight: 3
  - address: "[::1]:9002"
load_balancer: {algorithm: weighted-round-robin}
health_check:
  enabled: true
  path: /health
  interval: 5s
timeouts: &times {connect: 500ms, read: 1m}
http:
  limits: {body: 10MB}
"""


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(VALID)
    assert load_file(file, {}).config.source == str(file)


@pytest.mark.parametrize("name", ["nothing.yaml", ".", "a\x00b"])
def test_a_file_that_cannot_be_read_is_told_apart(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableError, match="can't be read: "):
        load_file(f"{tmp_path}/{name}", {})


def test_bytes_that_are_no_text_have_a_place(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"mode: http\nlisten: \xff\n")
    with pytest.raises(ConfigError) as caught:
        load_file(file, {})
    assert str(caught.value) == f"{file}:2:9: is not UTF-8 text: the byte 0xff is in the way"
    assert not isinstance(caught.value, UnreadableError)


def check_that_any_problem_is_a_placed_line(text: str, *, placed: bool) -> None:
    try:
        load_text(text, "f.yaml", {})
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert len(str(problem).splitlines()) == 1
            assert problem.line >= 1 or not placed


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_any_text_is_a_configuration_or_a_list_of_problems(text: str) -> None:
    check_that_any_problem_is_a_placed_line(text, placed=True)


YAML_ISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["${A}", ":1", "a:1", "5s"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(VALID.replace(":", " ").split()), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["listen", "listeners", "pools", "backends", "http", "timeouts", "security"]), YAML_ISH))
def test_any_tree_under_known_keys_is_a_configuration_or_a_list_of_problems(tree: dict[str, object]) -> None:
    import yaml

    check_that_any_problem_is_a_placed_line(yaml.safe_dump(tree, allow_unicode=True), placed=True)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, len(VALID)),
    st.sampled_from(list(" \n\t:-[]{}&*!|>'\"%@`#,?$0aé\x00")),
    st.sampled_from(["put", "replace", "drop"]),
)
def test_any_edit_of_one_character_loads_or_has_a_place(position: int, character: str, edit: str) -> None:
    after = position + (edit != "put")
    text = VALID[:position] + ("" if edit == "drop" else character) + VALID[after:]
    check_that_any_problem_is_a_placed_line(text, placed=True)


def test_a_large_configuration_loads_quickly_enough_to_reload() -> None:
    rows = "".join(f"  - {{name: b{n}, address: 10.0.{n >> 8}.{n & 255}:80, weight: {n % 9 + 1}}}\n" for n in range(10_000))
    config = load_text(f"listen: ':1'\nbackends:\n{rows}", "f.yaml", {}).config
    assert len(config.pools[0].backends) == 10_000


def test_reading_the_model_costs_neither_pydantic_nor_yaml() -> None:
    program = "import sys, balance.config.model, balance.config; print([m for m in ('pydantic', 'yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_secret_is_the_same_whatever_stored_it_with_a_line_break() -> None:
    text = "listen: ':8080'\nbackends: [{address: 'a:1'}]\nsession_affinity: {enabled: true, secret: %s}\n"
    block = "listen: ':8080'\nbackends: [{address: 'a:1'}]\nsession_affinity:\n  enabled: true\n  secret: |\n    s3cret\n"
    loaded = [
        load_text(text % "s3cret", "f.yaml", {}),
        load_text(text % "'${SECRET}'", "f.yaml", {"SECRET": "s3cret\n"}),
        load_text(text % '"${SECRET}"', "f.yaml", {"SECRET": "s3cret \r\n"}),
        load_text(block, "f.yaml", {}),
    ]
    assert [each.config.pools[0].affinity.secret for each in loaded] == ["s3cret"] * 4
    assert [str(warning) for each in loaded for warning in each.warnings if "secret" in str(warning)] == []
    (blank,) = [
        str(each) for each in load_text(text % "'${SECRET}'", "f.yaml", {"SECRET": "\n"}).warnings if "secret" in str(each)
    ]
    assert "without secret" in blank
