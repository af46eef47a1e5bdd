"""Ids, as all formats have them."""

import pytest

from balance.tracing.span_context import is_id


@pytest.mark.parametrize(
    ("text", "digits", "is_one"),
    [
        (b"0af7651916cd43dd", 16, True),
        (b"0000000000000001", 16, True),
        (b"0000000000000000", 16, False),
        (b"0AF7651916CD43DD", 16, False),
        (b"0af7651916cd43d", 16, False),
        (b"0af7651916cd43dd\n", 17, False),
        (b"0af7651916cd43dg", 16, False),
        (b"", 0, False),
    ],
)
def test_what_is_an_id(text: bytes, digits: int, is_one: bool) -> None:
    assert is_id(text, digits) is is_one
