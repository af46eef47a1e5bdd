"""Who asks, as logs and limits have him: bounded, and different where the claims are."""

from __future__ import annotations

import pytest

from balance.stages.security.identity import MAX_CLAIM, claim_key, user_name


@pytest.mark.parametrize(
    ("claim", "key"),
    [
        (None, b""), ("", b""), ([], b""), ({}, b""), ("ada", b"ada"), (0, b"0"), (True, b"true"), (1.5, b"1.5"),
        ({"b": 1, "a": [2]}, b'{"a":[2],"b":1}'), ("\ud800", b"\xed\xa0\x80"), ("a\r\nb", b"a\r\nb"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_counted_by(claim: object, key: bytes) -> None:
    assert claim_key(claim) == key


def test_a_long_claim_is_as_good_as_a_short_one() -> None:
    one, other = claim_key("x" * 5000 + "1"), claim_key("x" * 5000 + "2")
    assert one != other and len(one) == len(other) <= MAX_CLAIM


@pytest.mark.parametrize(
    ("claim", "name"),
    [("ada", "ada"), (7, "7"), (None, ""), (True, ""), (["ada"], ""), ({"x": 1}, ""), ("x" * 300, "x" * 256)],
    ids=range(7),
)
def test_names(claim: object, name: str) -> None:
    assert user_name(claim) == name
