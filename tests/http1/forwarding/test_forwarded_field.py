"""Parsing of the Forwarded field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.http1.forwarding.forwarded_field import elements, parameters


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", []),
        (" , ,", []),
        ("for=a", ["for=a"]),
        ("for=a, for=b;proto=http ,for=c", ["for=c", "for=b;proto=http", "for=a"]),
        ('for="a,b", for=c', ["for=c", 'for="a,b"']),
        (r'for="a\",", for="\\",x', ["x", r'for="\\"', r'for="a\","']),
        ('for=", for=b', ["for=b", 'for="']),
        (r'x="\", for="[::1]"', ['for="[::1]"', r'x="\"']),
    ],
)
def test_elements_come_from_the_right(value: str, found: list[str]) -> None:
    assert list(elements(value)) == found


@pytest.mark.parametrize(
    ("element", "found"),
    [
        ("for=192.0.2.1", {"for": "192.0.2.1"}),
        ("For=192.0.2.1:80;PROTO=http; by=x", {"for": "192.0.2.1:80", "proto": "http", "by": "x"}),
        ('for="[2001:db8::1]:80" ; host="a.example"', {"for": "[2001:db8::1]:80", "host": "a.example"}),
        (r'for="a\"\\b"', {"for": r"a\b".replace("\\", '"\\')}),
        ("for=[2001:db8::1]", {"for": "[2001:db8::1]"}),
        ("for=a;", {"for": "a"}),
        ('for=""', {"for": ""}),
        ("for=a;for=b", None),
        ("for=a;FOR=b", None),
        ('for="a', None),
        ('for="a"b', None),
        ("for=a b", None),
        ("for", None),
        ("=a", None),
        ("for =a", None),
        (";for=a", None),
        ("for=", None),
    ],
)
def test_an_element_is_read_in_one_way_or_not_at_all(element: str, found: dict[str, str] | None) -> None:
    assert parameters(element) == found


_quoted = st.text('abc,;="\\[]: ', max_size=8).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)  # fmt: skip
_element = st.lists(st.tuples(st.sampled_from(["for", "by", "host"]), st.one_of(st.just("a"), _quoted)), min_size=1).map(
    lambda pairs: ";".join(f"{name}={value}" for name, value in pairs)
)


@given(st.text('for=a,;"\\ ', max_size=20), _element)
def test_what_a_proxy_adds_is_read_as_it_is_whatever_stands_before_it(before: str, added: str) -> None:
    assert next(elements(f"{before}, {added}")) == added
