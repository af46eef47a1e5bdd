"""Location and cookies follow a stripped and an added prefix back to the client, by segments and not twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.transform.map_back import MapBack

HOST = b"shop.example:8080"

LOCATIONS = [  # stripped, added, from the backend, for the client
    (b"/foo", b"", b"/login", b"/foo/login"),
    (b"/foo", b"", b"/", b"/foo/"),
    (b"/foo", b"", b"/login?next=/foo/x#y", b"/foo/login?next=/foo/x#y"),
    (b"/foo", b"", b"/?a", b"/foo/?a"),
    (b"/foo", b"", b"/foo/login", b"/foo/login"),  # it knows its prefix
    (b"/foo", b"", b"/foo", b"/foo"),
    (b"/foo", b"", b"/foobar", b"/foo/foobar"),
    (b"/foo", b"", b"login", b"login"),
    (b"/foo", b"", b"../login", b"../login"),
    (b"/foo", b"", b"?page=2", b"?page=2"),
    (b"/foo", b"", b"", b""),
    (b"/foo", b"", b"http://shop.example:8080/login", b"http://shop.example:8080/foo/login"),
    (b"/foo", b"", b"HTTP://SHOP.example:8080/login", b"HTTP://SHOP.example:8080/foo/login"),
    (b"/foo", b"", b"http://shop.example:8080", b"http://shop.example:8080/foo/"),
    (b"/foo", b"", b"http://shop.example:8080?x", b"http://shop.example:8080/foo/?x"),
    (b"/foo", b"", b"//shop.example:8080/login", b"//shop.example:8080/foo/login"),
    (b"/foo", b"", b"https://sso.example/login", b"https://sso.example/login"),
    (b"/foo", b"", b"http://shop.example/login", b"http://shop.example/login"),  # another port is another server
    (b"/foo", b"", b"//evil.example/x", b"//evil.example/x"),
    (b"/foo", b"", b"/\\evil.example/x", b"/\\evil.example/x"),
    (b"/foo", b"", b"mailto:a@b", b"mailto:a@b"),
    (b"", b"/api", b"/api/login", b"/login"),
    (b"", b"/api", b"/api", b"/"),
    (b"", b"/api", b"/login", b"/login"),
    (b"", b"/api", b"/api//evil.example", b"/evil.example"),
    (b"", b"/api", b"/api/\\evil.example", b"/%5Cevil.example"),
    (b"/v1", b"/api/v1", b"/api/v1/users?x=1", b"/v1/users?x=1"),
    (b"/v1", b"/api/v1", b"/v1/users", b"/v1/users"),
    (b"/v1", b"/v1", b"/v1/users", b"/v1/users"),
    (b"", b"", b"/login", b"/login"),
]


@pytest.mark.parametrize(("stripped", "added", "told", "mapped"), LOCATIONS)
def test_location_is_the_clients(stripped: bytes, added: bytes, told: bytes, mapped: bytes) -> None:
    mapping = MapBack(added)
    assert mapping.location(told, stripped, b"http", HOST, b"") == mapped
    head = b"HTTP/1.1 302 Found\r\nlocation: %b\r\nX: /login\r\n" % told
    assert mapping.apply(head, stripped, b"http", HOST, b"") == head.replace(b"location: " + told, b"location: " + mapped)


@pytest.mark.parametrize(
    ("told", "mapped"),
    [
        (b"http://app.internal:9000/login", b"https://shop.example:8080/foo/login"),
        (b"https://app.internal:9000/login", b"https://shop.example:8080/foo/login"),
        (b"//app.internal:9000/login", b"//shop.example:8080/foo/login"),
        (b"http://app.internal/login", b"http://app.internal/login"),
        (b"https://shop.example:8080/login", b"https://shop.example:8080/foo/login"),
    ],
)
def test_host_that_the_backend_got_is_the_clients_again(told: bytes, mapped: bytes) -> None:
    assert MapBack(b"").location(told, b"/foo", b"https", HOST, b"app.internal:9000") == mapped


COOKIES = [  # stripped, added, from the backend, for the client
    (b"/foo", b"", b"a=1; Path=/app", b"a=1; Path=/foo/app"),
    (b"/foo", b"", b"a=1; path=/; HttpOnly", b"a=1; Path=/foo; HttpOnly"),
    (b"/foo", b"", b"a=1;Path=/foo/app;Secure", b"a=1; Path=/foo/app;Secure"),
    (b"/foo", b"", b"a=1; Path=/foo", b"a=1; Path=/foo"),
    (b"/foo", b"", b"a=1; Path=/foobar", b"a=1; Path=/foo/foobar"),
    (b"/foo", b"", b"a=1", b"a=1"),  # browsers take the path that they asked for
    (b"/foo", b"", b"a=1; Path=app", b"a=1; Path=app"),
    (b"/foo", b"", b"Path=/x; HttpOnly", b"Path=/x; HttpOnly"),  # the cookie's own name
    (b"/foo", b"", b"a=/x?Path=/y; SameSite=Lax", b"a=/x?Path=/y; SameSite=Lax"),
    (b"", b"/api", b"a=1; Path=/api/x", b"a=1; Path=/x"),
    (b"", b"/api", b"a=1; Path=/api", b"a=1; Path=/"),
    (b"", b"/api", b"a=1; Path=/", b"a=1; Path=/"),
    (b"/v1", b"/api/v1", b"a=1; Path=/api/v1", b"a=1; Path=/v1"),
    (b"/foo", b"", b"a=1; Domain=shop.example", b"a=1; Domain=shop.example"),
]


@pytest.mark.parametrize(("stripped", "added", "told", "mapped"), COOKIES)
def test_cookie_path_is_the_clients(stripped: bytes, added: bytes, told: bytes, mapped: bytes) -> None:
    assert MapBack(added).cookie(told, stripped, HOST, b"") == mapped


@pytest.mark.parametrize(
    ("told", "host", "mapped"),
    [
        (b"a=1; Domain=app.internal; Secure", HOST, b"a=1; Domain=shop.example; Secure"),
        (b"a=1; domain=.INTERNAL", HOST, b"a=1; Domain=shop.example"),
        (b"a=1; Domain=other.example", HOST, b"a=1; Domain=other.example"),
        (b"a=1; Domain=pp.internal", HOST, b"a=1; Domain=pp.internal"),
        (b"a=1; Domain=app.internal; Secure", b"192.0.2.1:80", b"a=1; Secure"),  # an address has no domain
        (b"a=1; Domain=app.internal", b"[::1]", b"a=1"),
        (b"a=1; Domain=", HOST, b"a=1; Domain="),
    ],
)
def test_cookie_domain_follows_a_changed_host(told: bytes, host: bytes, mapped: bytes) -> None:
    assert MapBack(b"").cookie(told, b"", host, b"app.internal:9000") == mapped


def test_two_cookies_stay_two_lines() -> None:
    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX: y\r\nset-cookie:b=2; Path=/b\r\n"
    assert MapBack(b"").apply(head, b"/foo", b"http", HOST, b"") == (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/foo\r\nX: y\r\nset-cookie: b=2; Path=/foo/b\r\n"
    )


def test_head_without_either_is_the_same_object() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Location: /\r\n"
    assert MapBack(b"").apply(head, b"/foo", b"http", HOST, b"") is head


_VALUE = st.binary(max_size=30).map(lambda raw: bytes(byte for byte in raw if byte not in b"\r\n\0"))
_PREFIX = st.sampled_from([b"", b"/foo", b"/a/b"])


@given(_VALUE, _PREFIX, _PREFIX, st.sampled_from([b"", b"app.internal"]))
def test_backend_adds_no_line_and_names_no_other_host(value: bytes, stripped: bytes, added: bytes, named: bytes) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nSet-Cookie: %b\r\n" % (value, value)
    made = MapBack(added).apply(head, stripped, b"http", HOST, named)
    assert made.count(b"\n") == made.count(b"\r") == 3
    location = made.split(b"\r\n")[1].partition(b": ")[2]
    if location.startswith((b"//", b"/\\")):
        assert value.strip().startswith((b"//", b"/\\"))


@given(_VALUE.map(lambda value: b"/" + value), _PREFIX)
def test_mapping_twice_is_mapping_once(value: bytes, stripped: bytes) -> None:
    mapping = MapBack(b"")
    once = mapping.location(value.strip(), stripped, b"http", HOST, b"")
    assert mapping.location(once, stripped, b"http", HOST, b"") == once


@pytest.mark.parametrize(
    ("told", "mapped"),
    [
        (b"http://app.internal/api/login?x", b"/login?x"),
        (b"http://app.internal/login", b"/login"),
        (b"//app.internal/api//evil.example", b"/evil.example"),
        (b"//app.internal//evil.example", b"/evil.example"),
        (b"http://app.internal/api/\\evil.example", b"/%5Cevil.example"),
        (b"http://other.internal/login", b"http://other.internal/login"),
    ],
)
def test_a_client_that_named_no_host_gets_a_path(told: bytes, mapped: bytes) -> None:
    """HTTP/1.0 may omit Host."""
    assert MapBack(b"/api").location(told, b"", b"http", b"", b"app.internal") == mapped
