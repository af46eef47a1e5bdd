"""Credentials: what an Authorization field says, and what is remembered of it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.security.credentials import Remembered, basic, of_scheme


def field(text: str | bytes) -> bytes:
    return b"Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([field("ada:x")], ("ada", b"x")),
        ([field("ada:x:y")], ("ada", b"x:y")),
        ([field("ada:")], ("ada", b"")),
        ([field("b\u00f6b:x").replace(b"Basic", b"bASIC")], ("b\u00f6b", b"x")),
        ([b"Basic   " + field("a:b")[6:] + b" "], ("a", b"b")),
        ([], None),
        ([field("a:b"), field("a:b")], None),  # a backend may read the other
        ([field("a:b") + b", " + field("c:d")], None),
        ([field("ada")], None),
        ([field(":x")], None),
        ([field("a\x00:x")], None),
        ([field("a:x\r\nX-User: root")], None),
        ([field(b"\xff:x")], None),
        ([b"Basic"], None),
        ([b"Basic !!!"], None),
        ([b"Basic YTp"], None),
        ([field("a:" + "x" * 2000)], None),
        ([b"Basic " + b"A" * 10_000_000], None),
        ([b"Bearer abc"], None),
        ([b"Basicx YTpi"], None),
    ],
)
def test_user_and_password(values: list[bytes], expected: tuple[str, bytes] | None) -> None:
    assert basic(values) == expected


@given(st.lists(st.binary(max_size=60), max_size=2))
def test_no_field_breaks_it(values: list[bytes]) -> None:
    found = basic([b"Basic " + value for value in values])
    assert found is None or (found[0] and b"\n" not in found[1])


def test_a_scheme_in_any_case() -> None:
    assert of_scheme([b"BEARER  x.y.z "], b"bearer") == b"x.y.z"
    assert of_scheme([b"Bearer"], b"bearer") == b""
    assert of_scheme([b"Basic x"], b"bearer") is None


def test_what_is_remembered_ends_and_is_bounded_and_is_no_password() -> None:
    known = Remembered(2)
    assert known.digest(b"a", b"bc") != known.digest(b"ab", b"c")
    assert known.digest(b"a") != Remembered(2).digest(b"a")  # a key of its own
    one, two, three = (known.digest(each) for each in (b"1", b"2", b"3"))
    known.add(one, 10.0)
    assert known.has(one, 9.9)
    assert not known.has(one, 10.0)
    assert not known.has(one, 0.0)  # gone
    for each in (one, two, three):
        known.add(each, 10.0)
    assert [known.has(each, 0.0) for each in (one, two, three)] == [False, True, True]
