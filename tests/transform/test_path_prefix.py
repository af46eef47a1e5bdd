"""Prefixes go by segments, and no result names a host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.transform.path_prefix import add_prefix, has_prefix, one_slash, prefix_of, safe_location, strip_prefix


@pytest.mark.parametrize(
    ("text", "prefix"), [("/foo", b"/foo"), ("/foo/", b"/foo"), ("foo", b"/foo"), ("/a/b//", b"/a/b"), ("/", b""), ("", b"")]
)
def test_prefix_has_one_form(text: str, prefix: bytes) -> None:
    assert prefix_of(text) == prefix


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        (b"/foo", b"/"),
        (b"/foo/", b"/"),
        (b"/foo/bar", b"/bar"),
        (b"/foo//bar", b"/bar"),
        (b"/foo/%2Fbar", b"/%2Fbar"),
        (b"/foobar", None),
        (b"/fo", None),
        (b"/FOO/bar", None),
        (b"/x/foo", None),
    ],
)
def test_strip_goes_by_segments(path: bytes, rest: bytes | None) -> None:
    assert has_prefix(path, b"/foo") == (rest is not None)
    if rest is not None:
        assert strip_prefix(path, b"/foo") == rest


def test_added_prefix_has_one_slash_behind_it() -> None:
    assert add_prefix(b"/x", prefix_of("/api/")) == b"/api/x"


@given(st.binary())
def test_safe_location_names_no_host(path: bytes) -> None:
    made = safe_location(path)
    assert made.startswith(b"/")
    assert not made.startswith((b"//", b"/\\"))
    assert one_slash(path) == made or made.startswith(b"/%5C")
