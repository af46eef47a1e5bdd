"""Replacements of rewrites: captures as they came in a path, encoded in a query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance import linear_regex
from balance.transform.replacement import Replacement, encoded, merged

PATTERN = linear_regex.compile("(a)(b)")


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("/$1/$2", b"/%2F/x&y=z", b""),
        ("/n?a=$1&b=$2", b"/n", b"a=%2F&b=x%26y%3Dz"),
        ("/$$1?$$", b"/$1", b"$"),
        ("/grün?ü", b"/gr%C3%BCn", b"%C3%BC"),
        ("/p?", b"/p", b""),
    ],
)
def test_pieces(text: str, path: bytes, query: bytes) -> None:
    made = Replacement(text, PATTERN)
    groups = (b"%2Fx&y=z", b"%2F", b"x&y=z")
    assert made.path(groups) == path
    assert made.query(groups) == query


def test_without_a_pattern_a_dollar_is_a_dollar() -> None:
    assert Replacement("/$1", None).path(()) == b"/$1"


@pytest.mark.parametrize("text", ["/a b", "/a\r\nX: 1", "/a\0", "/a#b"])
def test_what_no_path_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="which no path has"):
        Replacement(text, None)


def test_missing_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\$3 is no group"):
        Replacement("/$3", PATTERN)


@pytest.mark.parametrize(
    ("value", "in_query"),
    [(b"a/b", b"a/b"), (b"%2f", b"%2f"), (b"%", b"%25"), (b"%2", b"%252"), (b"a;b+c?d", b"a%3Bb%2Bc%3Fd"), (b"\xff", b"%FF")],
)
def test_capture_in_a_query_is_one_value(value: bytes, in_query: bytes) -> None:
    assert encoded(value) == in_query


@given(st.binary())
def test_capture_never_ends_its_parameter(value: bytes) -> None:
    made = encoded(value)
    assert not set(made) & set(b"&=;+?# \r\n\0")
    assert encoded(made) == made


@pytest.mark.parametrize(
    ("own", "query", "whole"),
    [(b"", b"", b""), (b"", b"?x=1", b"?x=1"), (b"a=1", b"", b"?a=1"), (b"a=1", b"?", b"?a=1"), (b"a=1", b"?x=1", b"?a=1&x=1")],
)
def test_queries_are_merged(own: bytes, query: bytes, whole: bytes) -> None:
    assert merged(b"//p", own, query) == (b"/p", whole)
