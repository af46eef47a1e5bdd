"""JSON of strangers: a value, or one line that says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.json_reading import dict_of, list_of, printable, read_json, text_of


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "breaks off"),
        (b'[{"a": 1}, {"b"', "breaks off"),
        (b'{"a": "', "breaks off|is not JSON"),
        (b"<html>", "is not JSON"),
        (b"[1] [2]", "is not JSON"),
        (b"\xff\xfe\x00", "is not"),
        (b"[" * 100_000, "nested too deeply"),
        (b"9" * 5000, "is not JSON"),
    ],
    ids=range(8),
)
def test_what_is_no_document(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_json(data)
    assert "\n" not in str(caught.value)


@given(st.binary())
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        read_json(data)
    except ValueError as error:
        assert str(error).startswith("its answer")


def test_values_of_another_type_are_as_if_absent() -> None:
    assert (text_of(7), dict_of([1]), list_of(None), list_of({"a": 1})) == ("", {}, [], [])
    assert printable("a\r\nb\x1b[0m", 5) == "a??b?"
