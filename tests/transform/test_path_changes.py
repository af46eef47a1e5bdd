"""Paths on their way to the backend: strip, add, rewrite; the prefix that backends are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.route_model import Rewrite, Transform
from balance.transform.path_changes import PathChanges, forwarded_prefix

STRIP = Transform(strip_prefix="/foo/")
ADD = Transform(add_prefix="/api/")
BOTH = Transform(strip_prefix="/v1", add_prefix="/api/v1")
OLD = Transform(rewrite=(Rewrite("^/old/(.*)", "/new/$1"), Rewrite("^/o(.*)", "/second/$1")))
QUERY = Transform(rewrite=(Rewrite("^/item/([^/]+)$", "/show?id=$1&lang=de"),))
CASES = [
    (STRIP, b"/foo", b"/"),
    (STRIP, b"/foo?a=1", b"/?a=1"),
    (STRIP, b"/foo/bar", b"/bar"),
    (STRIP, b"/foo//bar", b"/bar"),
    (STRIP, b"/foobar", b"/foobar"),
    (STRIP, b"/x?/foo/", b"/x?/foo/"),
    (STRIP, b"*", b"*"),
    (ADD, b"/x", b"/api/x"),
    (ADD, b"/", b"/api/"),
    (ADD, b"*", b"*"),
    (BOTH, b"/v1/users?x=/v1", b"/api/v1/users?x=/v1"),
    (Transform(strip_prefix="/", add_prefix="/"), b"/x", b"/x"),
    (OLD, b"/old/a%2Fb?x=1", b"/new/a%2Fb?x=1"),
    (OLD, b"/old/", b"/new/"),
    (OLD, b"/other", b"/second/ther"),
    (OLD, b"/x?/old/y", b"/x?/old/y"),
    (OLD, b"/old/a%252Fb", b"/new/a%252Fb"),
    (Transform(rewrite=(Rewrite("^/old", ""),)), b"/old", b"/"),
    (Transform(rewrite=(Rewrite("^/old/", "//"),)), b"/old/evil.example", b"/evil.example"),
    (Transform(rewrite=(Rewrite("^/r/(.*)", "$1"),)), b"/r//evil.example", b"/evil.example"),
    (Transform(rewrite=(Rewrite("b", "x"),)), b"/abbc", b"/axbc"),  # the first match, and only that
    (Transform(strip_prefix="/a", add_prefix="/b", rewrite=(Rewrite("^/c", "//d"),)), b"/a/c", b"/b/d"),
    (QUERY, b"/item/a%20b", b"/show?id=a%20b&lang=de"),
    (QUERY, b"/item/x&admin=1?y=2", b"/show?id=x%26admin%3D1&lang=de&y=2"),
]


@pytest.mark.parametrize(("transform", "sent", "forwarded"), CASES)
def test_path_goes_on_as(transform: Transform, sent: bytes, forwarded: bytes) -> None:
    path, mark, query = sent.partition(b"?")
    assert b"".join(PathChanges(transform).apply(path, mark + query)) == forwarded


def test_nothing_to_change_is_false() -> None:
    assert not PathChanges(Transform())
    assert not PathChanges(Transform(strip_prefix="/", add_prefix="/"))
    assert all(PathChanges(each) for each in (STRIP, ADD, OLD))


_TARGET = st.binary(max_size=20).map(lambda raw: b"/" + bytes(0x24 + byte % 0x5B for byte in raw))


@given(_TARGET, st.sampled_from([transform for transform, _, _ in CASES]))
def test_result_is_a_target(sent: bytes, transform: Transform) -> None:
    path, mark, query = sent.partition(b"?")
    path, query = PathChanges(transform).apply(path, mark + query)
    assert path.startswith(b"/")
    assert not set(path + query) & set(b"\r\n\0 #")
    if (path, query) != (sent.partition(b"?")[0], mark + sent.partition(b"?")[2]):
        assert not path.startswith(b"//")


@pytest.mark.parametrize(
    ("stripped", "sent", "line"),
    [
        (b"/foo", b"", b"X-Forwarded-Prefix: /foo\r\n"),
        (b"/foo", b"/outer/", b"X-Forwarded-Prefix: /outer/foo\r\n"),
        (b"", b"/outer", b"X-Forwarded-Prefix: /outer\r\n"),
        (b"", b"", b""),
        (b"/foo", b"//evil.example", b"X-Forwarded-Prefix: /foo\r\n"),
        (b"/foo", b"https://evil.example", b"X-Forwarded-Prefix: /foo\r\n"),
        (b"/foo", b"/a, /b", b"X-Forwarded-Prefix: /foo\r\n"),
        (b"/foo", b"/", b"X-Forwarded-Prefix: /foo\r\n"),
    ],
)
def test_prefix_is_said_once(stripped: bytes, sent: bytes, line: bytes) -> None:
    assert forwarded_prefix(stripped, sent) == line
