"""What a terminal would obey is shown as an escape."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.client.printable import printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("é 漢字 ", "é 漢字 "),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\r\nb\t", "a\\r\\nb\\t"),
        ("\x9b31m\x07\x7f", "\\x9b31m\\x07\\x7f"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u2028\ud800", "\\u2028\\ud800"),
    ],
)
def test_controls_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_means_the_same_and_shows_no_controls() -> None:
    document = {"a\x9bé": ["\u202e", "\x1b[2J", "漢", "\ud800", "\U000e0001", "\n"], "b": 1}
    for indent in (None, 2):
        text = printable_json(document, indent)
        assert json.loads(text) == document
        assert not {"\x9b", "\u202e", "\x1b", "\ud800", "\U000e0001"} & set(text) and {"é", "漢"} < set(text)


@given(st.text())
def test_nothing_is_left_that_moves_a_cursor(text: str) -> None:
    shown = printable(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    shown.encode()  # no lone surrogates
