"""Extraction of the hash key from requests."""

import pytest

from balance.config.model import HashKey, HttpConfig
from balance.http1.hash_key import MAX_COOKIES, key_extractor, session_cache_key, session_extractor, source_key
from balance.http1.request import RequestReader


def key(hash_key: HashKey, *lines: bytes, target: bytes = b"/", address: str = "192.0.2.1") -> bytes:
    head = b"GET %b HTTP/1.1\r\nHost: a.example\r\n%b\r\n" % (target, b"".join(line + b"\r\n" for line in lines))
    request = RequestReader(HttpConfig()).read(head)
    return key_extractor(hash_key)(request.fields, request.target, address)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("2001:db8:0:0:1::", "2001:DB8::2"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_one_client_has_one_key_however_it_comes(one: str, other: str) -> None:
    assert source_key(one) == source_key(other) != b""


@pytest.mark.parametrize(
    ("one", "other"), [("192.0.2.1", "192.0.2.2"), ("2001:db8:0:1::1", "2001:db8:0:2::1"), ("::1", "2001:db8::1")]
)
def test_different_clients_have_different_keys(one: str, other: str) -> None:
    assert source_key(one) != source_key(other)


@pytest.mark.parametrize("address", ["", "/run/x.sock", "unknown"])
def test_what_is_no_address_is_no_key(address: str) -> None:
    assert source_key(address) == b""


def test_source_ip_is_the_client_s_address() -> None:
    assert key(HashKey(), address="10.0.0.1") == source_key("10.0.0.1") == bytes([10, 0, 0, 1])


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([b"X-User: ann"], b"ann"),
        ([b"x-uSER:\t ann \t"], b"ann"),
        ([b"Accept: */*", b"X-User: ann", b"X-User: bob"], b"ann"),
        ([b"X-Users: no", b"Not-X-User: no"], b""),
        ([b"X-Note: X-User: no"], b""),
        ([b"X-User:"], b""),
        ([], b""),
    ],
)
def test_header_is_found_by_name(lines: list[bytes], found: bytes) -> None:
    assert key(HashKey("header", "X-User"), *lines) == found


def test_host_is_a_header_too() -> None:
    assert key(HashKey("header", "host")) == b"a.example"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([b"Cookie: sid=7"], b"7"),
        ([b"Cookie: a=1; sid=7; b=2"], b"7"),
        ([b"cookie: a=1;sid=7 ;b=2"], b"7"),
        ([b"Cookie: a=1", b"Cookie: sid=7"], b"7"),
        ([b"Cookie: sid=; a=1"], b""),
        ([b"Cookie: sid=; sid=7; sid=8"], b"7"),
        ([b"Cookie: xsid=7; sidx=8; SID=9"], b""),
        ([b"Cookie: a=sid=7"], b""),
        ([b"X-Cookie: sid=7"], b""),
        ([], b""),
    ],
)
def test_cookie_is_found_by_name(lines: list[bytes], found: bytes) -> None:
    assert key(HashKey("cookie", "sid"), *lines) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], b""),
        ([b"Cookie: sid=A"], b"A"),
        ([b"Cookie: sid=x"], b""),
        ([b"Cookie: sid=x; sid=A"], b"A"),
        ([b"Cookie: sid=x; b=A; sid= A ;sid=y"], b""),
        ([b"Cookie: sid=x; sid=A ;sid=y"], b"A"),
        ([b"Cookie: sid=x", b"cookie: c=d", b"Cookie: sid=; sid=A"], b"A"),
        ([b"Cookie: sid=A; sid=A", b"Cookie: sid=A"], b"A"),
        ([b"Cookie: sid=x; sid=B", b"Cookie: sid=A"], b"B,A"),
        ([b"Cookie: xsid=A; sidx=B"], b""),
        ([b"Cookie: " + b"sid=x;" * (MAX_COOKIES - 1) + b"sid=A"], b"A"),
        ([b"Cookie: " + b"sid=x;" * MAX_COOKIES + b"sid=A"], b""),
    ],
)
def test_of_several_session_cookies_the_ones_that_are_ours_are_found(lines: list[bytes], found: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % b"".join(line + b"\r\n" for line in lines)
    fields = RequestReader(HttpConfig()).read(head).fields
    of = session_extractor("sid", {b"A", b"B"})
    assert of(fields, b"/", "") == of(fields, b"/", "") == found  # the second time out of what was found
    assert (fields.cache or {})[session_cache_key("sid")] == found
    assert key_extractor(HashKey("cookie", "sid"))(fields, b"/", "") != b"B,A"  # a hash key of that name is another thing


@pytest.mark.parametrize(
    ("target", "found"), [(b"/a/b?c=d", b"/a/b"), (b"/", b"/"), (b"/?x", b"/"), (b"/a%2Fb", b"/a%2Fb"), (b"/a?b?c", b"/a")]
)
def test_path_is_the_target_without_its_query(target: bytes, found: bytes) -> None:
    assert key(HashKey("path"), target=target) == found


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (b"/?user=7", b"7"),
        (b"/a?b=1&user=7&c=2", b"7"),
        (b"/?user=a%20b", b"a%20b"),
        (b"/?user=1&user=2", b"1"),
        (b"/?user=", b""),
        (b"/?users=7&xuser=8", b""),
        (b"/a&user=7", b""),
        (b"/a&user=8?user=7", b"7"),
        (b"/", b""),
    ],
)
def test_query_parameter_is_found_by_name(target: bytes, found: bytes) -> None:
    assert key(HashKey("query", "user"), target=target) == found


def test_names_are_taken_literally() -> None:
    assert key(HashKey("query", "a.c"), target=b"/?abc=1&a.c=2") == b"2"
    assert key(HashKey("cookie", "a.c"), b"Cookie: abc=1; a.c=2") == b"2"
    assert key(HashKey("header", "a.c"), b"abc: 1", b"a.c: 2") == b"2"
