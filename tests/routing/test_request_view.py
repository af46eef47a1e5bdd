"""What conditions find in a request: first and repeated fields, cookies by whole name, decoded query parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import HttpConfig
from balance.http1.request import RequestReader
from balance.routing.request_view import RequestView


def view(*lines: str, target: str = "/", is_trusted: bool = False) -> RequestView:
    head = f"GET {target} HTTP/1.1\r\nHost: example.org\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
    request = RequestReader(HttpConfig()).read(head.encode("latin-1"))
    return RequestView(request.fields, request.target, is_trusted=is_trusted)


def test_the_first_line_of_a_field_counts_and_all_are_found():
    found = view("X-Tag: one", "x-other: no", "x-TAG:  two ", "X-Tagged: three")
    assert found.header(b"x-tag") == b"one"
    assert found.headers(b"x-tag") == [b"one", b"two"]
    assert found.header(b"x-absent") is None
    assert found.headers(b"x-absent") == []


def test_the_host_is_the_one_of_the_request():
    assert view().header(b"host") == b"example.org"
    assert view().headers(b"host") == [b"example.org"]


def test_fields_that_are_not_forwarded_are_not_seen():
    found = view("Connection: X-Auth", "X-Auth: admin", "Proxy-Authorization: x")
    assert found.header(b"x-auth") is None
    assert found.header(b"proxy-authorization") is None


def test_an_upgrade_that_is_forwarded_is_seen():
    assert view("Connection: Upgrade", "Upgrade: websocket").header(b"upgrade") == b"websocket"


@pytest.mark.parametrize(("is_trusted", "value"), [(False, None), (True, b"https")])
def test_forwarding_fields_are_believed_from_trusted_peers_only(is_trusted, value):
    assert view("X-Forwarded-Proto: https", is_trusted=is_trusted).header(b"x-forwarded-proto") == value


def test_trust_is_not_remembered_with_the_lines():
    fields = RequestReader(HttpConfig()).read(b"GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 10.0.0.1\r\n\r\n").fields
    assert RequestView(fields, b"/", is_trusted=True).header(b"x-real-ip") == b"10.0.0.1"
    assert RequestView(fields, b"/").header(b"x-real-ip") is None


@pytest.mark.parametrize(
    ("lines", "values"),
    [
        ([], []),
        (["Cookie: notcanary=always"], []),
        (["Cookie: canary=always"], [b"always"]),
        (["Cookie: a=1; canary=always;b=2"], [b"always"]),
        (["Cookie: a=canary=always"], []),
        (["Cookie: canary=never; canary=always"], [b"never", b"always"]),
        (["Cookie: canary=never", "Cookie: canary=always"], [b"never", b"always"]),
        (["Cookie: Canary=always"], []),
        (["Cookie: canary="], [b""]),
        (["Cookie: canary"], []),
        (["Cookie: canary=a=b"], [b"a=b"]),
        (['Cookie: canary="always"'], [b'"always"']),
        (["Cookie: ;;; canary =  always  ;"], [b"always"]),
        (["X-Cookie: canary=always"], []),
    ],
)
def test_cookies_are_pairs_with_whole_names(lines, values):
    found = view(*lines)
    assert found.cookies(b"canary") == values
    assert found.cookie(b"canary") == (values[0] if values else None)


@pytest.mark.parametrize(
    ("target", "values"),
    [
        ("/", []),
        ("/?", []),
        ("/?a=1&a=2", [b"1", b"2"]),
        ("/?A=1", []),
        ("/?xa=1", []),
        ("/?b=a=1", []),
        ("/?a", [b""]),
        ("/?a=", [b""]),
        ("/?a=b+c", [b"b c"]),
        ("/?a=b%20c", [b"b c"]),
        ("/?a=b%2Bc", [b"b+c"]),
        ("/?%61=1", [b"1"]),
        ("/?a=1=2", [b"1=2"]),
        ("/?a=%zz&a=%", [b"%zz", b"%"]),
        ("/?a=1?a=2", [b"1?a=2"]),
        ("/?&&a=1&&", [b"1"]),
        ("/a=2&a=3", []),
    ],
)
def test_query_parameters_are_decoded_and_the_first_counts(target, values):
    found = view(target=target)
    assert found.parameters(b"a") == values
    assert found.parameter(b"a") == (values[0] if values else None)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "ab"]), st.text("xyz=\t ", max_size=4)), max_size=6))
def test_every_cookie_and_field_is_found_in_its_order(pairs):
    expected = [value.strip(" \t").encode() for name, value in pairs if name == "a"]
    assert view("Cookie: " + ";".join(f"{name}={value}" for name, value in pairs)).cookies(b"a") == expected
    assert view(*(f"{name}:{value}" for name, value in pairs)).headers(b"a") == expected
