"""Entity tags that come back weakened."""

from __future__ import annotations

import pytest

from balance.compression.if_none_match import MAX_TAGS, TagForms, only_weak

STRONG_ONLY: list[tuple[bytes, bytes]] = [
    (b'W/"x"', b'"x"'),
    (b'"x"', b'"x"'),
    (b"*", b"*"),
    (b'W/"x", W/"y"', b'"x", "y"'),
    (b'"xW/","y"', b'"xW/","y"'),  # a tag's own bytes are not changed
    (b'W/"xW/",W/"y"', b'"xW/","y"'),
    (b"W/x", b"W/x"),
    (b'W/"x', b'W/"x'),
]


@pytest.mark.parametrize(("value", "expected"), STRONG_ONLY)
def test_backends_with_strong_tags_get_them_back(value: bytes, expected: bytes) -> None:
    tags = TagForms()
    tags.seen(b'"a"')
    lines = b'Accept: */*\r\nif-None-Match: %b\r\nX-If-None-Match: W/"z"\r\n'
    assert tags.restore(lines % value) == lines % expected


@pytest.mark.parametrize("lines", [1, 3])
def test_what_a_client_makes_the_loop_do_is_bounded(lines: int) -> None:
    """Weak comparison is the backend's anyway; a request with both forms of each tag would be twice as long, too."""
    tags = TagForms()
    tags.seen(b'"a"')
    tags.seen(b'W/"b"')
    forward = b"If-None-Match: %b\r\n" % (b'W/"x",' * (MAX_TAGS // lines // 6 + 1)) * lines
    assert tags.restore(forward) == forward


def test_backends_with_both_get_both_in_a_list() -> None:
    tags = TagForms()
    tags.seen(b'"a"')
    tags.seen(b'W/"b"')
    assert tags.restore(b'If-None-Match: W/"x", "y"\r\n') == b'If-None-Match: W/"x", "x", "y"\r\n'


def test_what_backends_send_is_learned() -> None:
    tags = TagForms()
    tags.seen(b"")
    assert not tags.are_strong and not tags.are_weak
    tags.seen(b'W/"a"')
    assert not tags.are_strong and tags.are_weak
    tags.seen(b'"a"')
    assert tags.are_strong


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b'W/"x"'], True),
        ([b'"y"', b'W/"x"'], True),
        ([b'"x"'], False),
        ([b'W/"x", "x"'], False),
        ([b'W/"xx"'], False),
        ([b"*"], False),
        ([], False),
    ],
)
def test_a_client_has_the_weakened_tag_only(values: list[bytes], expected: bool) -> None:
    assert only_weak(values, b'"x"') is expected
