"""YAML that is refused: each error is one line with its position."""

import pytest

from balance.config.reading.composer import MAX_TEXT_BYTES, compose
from balance.errors import ConfigError


def test_an_alias_is_the_very_node_that_its_anchor_names() -> None:
    root = compose("a: &x [1]\nb: *x\n", "f.yaml")
    assert root is not None
    assert root.pairs is not None
    assert root.pairs[0][1] is root.pairs[1][1]


def test_nothing_but_comments_is_nothing() -> None:
    assert compose("# a\n---\n", "f.yaml") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second document begins here; a configuration is one document"),
        ("a: b: c", "f.yaml:1:4: the value of 'a' has a colon and a space in it; put it in quotes"),
        ("a: [1", "f.yaml:1:4: the [ that opens here is never closed: ] is missing"),
        (
            "a: 1\n\tb: 2",
            "f.yaml:2:1: a tab stands in the indentation; YAML indents with spaces alone",
        ),
        ("a: 'x", "f.yaml:1:4: the quote that opens here is never closed: '"),
        ("a: x\x00y", "f.yaml:1:5: the character U+0000 may not stand in YAML"),
        ("a: \ud800", "f.yaml:1:1: is not UTF-8 text"),
        ("a: !!python/name:os.system x", "f.yaml:1:4: the tag 'tag:yaml.org,2002:python/name:os.system' is not supported"),
        ("a: !secret x", "f.yaml:1:4: the tag '!secret' is not supported; write the value alone"),
        ("a: *x", "f.yaml:1:4: the alias *x stands for nothing that ends before it"),
        ("a: &x [*x]", "f.yaml:1:8: the alias *x stands for nothing that ends before it"),
        ("[" * 40, "f.yaml:1:33: nested deeper than 32 levels"),
        ("a: " + "x" * MAX_TEXT_BYTES, "f.yaml:1:1: is larger than 16 MB"),
    ],
    ids=range(13),
)
def test_what_is_no_configuration_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(text, "f.yaml")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_a_text_that_is_nested_without_end_is_refused_before_it_is_built() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:1:\d+: nested deeper than 32 levels$"):
        compose("[" * 100_000, "f.yaml")
