"""What a terminal would obey is shown as an escape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.client.printable import printable


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


@given(st.text())
def test_nothing_is_left_that_moves_a_cursor(text: str) -> None:
    shown = printable(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    shown.encode()  # no lone surrogates
