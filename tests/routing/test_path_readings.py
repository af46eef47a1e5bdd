"""What backends may read in a path, and that nothing is read into usual ones."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from balance.routing.path_readings import (
    MAX_BYTES,
    MAX_READINGS,
    configured_readings,
    normalized_path,
    path_readings,
    resolve_dots,
)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/a",
        b"/a/",
        b"/a/b-c_d~e",
        b"/.well-known/x",
        b"/a.b/c..d/...",
        b"/a:b@c!$&'()*+,=",
        b"/v1/users/42",
        b"*",
        b"/\xff",
    ],
)
def test_usual_paths_have_one_reading(path):
    assert path_readings(path) == (path,)
    assert normalized_path(path) == path


@pytest.mark.parametrize(
    ("path", "others"),
    [
        (b"/%61dmin", [b"/admin"]),
        (b"/%7Euser", [b"/~user"]),
        (b"//admin", [b"/admin"]),
        (b"/admin//", [b"/admin/"]),
        (b"/./admin", [b"/admin"]),
        (b"/x/../admin", [b"/admin"]),
        (b"/../admin", [b"/admin"]),
        (b"/admin/..", [b"/"]),
        (b"/admin/.", [b"/admin/"]),
        (b"/x/%2E%2E/admin", [b"/x/../admin", b"/admin"]),
        (b"/x/.%2E/admin", [b"/x/../admin", b"/admin"]),
        (b"/x//../admin", [b"/x/../admin", b"/x/admin", b"/admin"]),
        (b"/.//admin", [b"/./admin", b"//admin", b"/admin"]),
        (b"/admin%2F..", [b"/admin/..", b"/"]),
        (b"/@scope%2Fname", [b"/@scope/name"]),
        (b"/my%20file", [b"/my file"]),
        (b"/%D0%B6", ["/ж".encode()]),
        (b"/100%", []),
        (b"/100%zz%2", []),
        (b"/page;jsessionid=1", [b"/page"]),
        (b"/a;x/b;y", [b"/a/b"]),
        (b"/x/..;/admin", [b"/x/../admin", b"/admin"]),
        (b"/admin%3Bx", [b"/admin;x", b"/admin"]),
        (b"/admin\\x", [b"/admin/x"]),
        (b"/admin%5Cx", [b"/admin\\x", b"/admin/x"]),
        (b"/%2561dmin", [b"/%61dmin", b"/admin"]),
        (b"/a%252Fb", [b"/a%2Fb", b"/a/b"]),
        (b"/admin%00.jpg", [b"/admin\0.jpg", b"/admin"]),
        (b"/admin%3Fx", [b"/admin?x", b"/admin"]),
        (b"/admin%23x", [b"/admin#x", b"/admin"]),
    ],
)
def test_readings(path, others):
    first, *rest = path_readings(path)
    assert first == path
    assert sorted(rest) == sorted(others)


def test_hex_digits_are_in_upper_case():
    assert path_readings(b"/a%2fb") == path_readings(b"/a%2Fb")
    assert configured_readings("/a%2fb") == (b"/a%2Fb", b"/a/b")
    assert configured_readings("/a") == (b"/a",)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/%61dmin", b"/admin"),
        (b"/x/%2e%2e//admin", b"/admin"),
        (b"/x//../admin", b"/admin"),
        (b"/@scope%2fname", b"/@scope%2Fname"),
        (b"/admin;x", b"/admin;x"),
        (b"/a/%2e", b"/a/"),
        (b"/a%5c..%5cb", b"/a%5C..%5Cb"),
        (b"/%2561", b"/%2561"),
        (b"*", b"*"),
    ],
)
def test_normalized(path, expected):
    assert normalized_path(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),  # the first two of RFC 3986 section 5.2.4
    [
        (b"/a/b/c/./../../g", b"/a/g"),
        (b"/mid/content=5/../6", b"/mid/6"),
        (b"/..", b"/"),
        (b"/a/..", b"/"),
        (b"/a//..", b"/a/"),
    ],
)
def test_dot_segments(path, expected):
    assert resolve_dots(path) == expected


ODD = st.lists(
    st.sampled_from(
        [b"/", b"//", b"a", b".", b"..", b"%2e", b"%2F", b"%252f", b";x", b"%3b", b"\\", b"%5c", b"%00", b"%61", b"%"]
    ),
    max_size=7,
).map(lambda pieces: b"/" + b"".join(pieces))


@given(ODD)
@example(b"/%%61%61")
def test_what_is_normalized_is_read_as_the_path_is(path):
    """So that a path on whose route all readings agreed may be sent normalized."""
    readings = path_readings(path)
    normalized = normalized_path(path)
    assert normalized_path(normalized) == normalized
    if readings:
        assert set(path_readings(normalized)) <= set(readings)
        assert len(set(readings)) == len(readings)


@pytest.mark.parametrize("piece", [b"/a;b//../%2e/..%2f..%5c%252f\\x%3b%00", b"%2f%5c", b"/.", b"%2561/", b"//..;"])
def test_the_work_is_bounded(piece):
    path = (b"/" + piece * 8000)[:8000]
    readings = path_readings(path)
    assert len(readings) <= MAX_READINGS
    assert sum(map(len, readings)) <= MAX_BYTES


def test_what_asks_for_the_same_path_again_gets_what_was_found() -> None:
    path = b"/" + b"%61" * 100
    assert path_readings(path) is path_readings(path)
