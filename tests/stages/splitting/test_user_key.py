"""What tells users apart, and who gets a cookie for it."""

from __future__ import annotations

import re

import pytest
from requests_of_users import request

from balance.stages.splitting.user_key import UserKey

SET = r"Set-Cookie: balance-side=([0-9a-f]{16}); Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax\r\n"


@pytest.mark.parametrize(
    ("key", "line", "expected"),
    [
        ("cookie:user", "Cookie: a=b; user=anna", b"anna"),
        ("cookie:user", "Cookie: user=; user=anna", b""),  # of a repeated one the first counts
        ("cookie:user", "Cookie: User=anna", b""),
        ("header:X-User", "x-user: anna", b"anna"),
        ("header:X-User", "X-User: anna\r\nX-User: bert", b"anna"),
        ("header:X-User", "X-Users: anna", b""),
        ("client-ip", "X: y", b"\x0a\x00\x00\x01"),
        ("", "Cookie: balance-side=abc", b""),  # not sticky: nothing of the request counts
    ],
)
def test_a_key_of_the_files_own(key: str, line: str, expected: bytes) -> None:
    context = request(line)
    assert UserKey(key, is_sticky=False).of(context) == expected
    assert context.reply_lines == b""


def test_who_has_no_key_gets_a_cookie_and_who_has_one_gets_none() -> None:
    context = request()
    made = UserKey("cookie:user").of(context)
    match = re.fullmatch(SET, context.reply_lines.decode())
    assert match is not None
    assert match[1].encode() == made
    for line in (f"Cookie: balance-side={made.decode()}", "Cookie: user=anna"):
        context = request(line)
        assert UserKey("cookie:user").of(context) == (made if "side" in line else b"anna")
        assert context.reply_lines == b""


def test_an_address_counts_also_of_a_user_with_a_cookie() -> None:
    assert UserKey("client-ip").of(request("Cookie: balance-side=abc")) == b"\x0a\x00\x00\x01"
    assert UserKey("client-ip").of(request("Cookie: balance-side=abc", client="")) == b"abc"


def test_two_policies_of_one_request_set_one_cookie() -> None:
    context = request()
    assert UserKey().of(context) == UserKey().of(context)
    assert context.reply_lines.count(b"Set-Cookie") == 1


def test_ids_differ() -> None:
    assert len({UserKey().of(request(seed=seed)) for seed in range(100)}) == 100


def test_the_cookie_is_secure_where_the_client_came_by_https() -> None:
    context = request(scheme="https")
    UserKey().of(context)
    assert b"; HttpOnly; Secure; SameSite=Lax\r\n" in context.reply_lines


@pytest.mark.parametrize("client", ["", "unix:"])
def test_a_client_without_an_address_gets_a_cookie(client: str) -> None:
    context = request(client=client)
    assert UserKey("client-ip").of(context)
    assert context.reply_lines


def test_addresses_of_one_ipv6_site_are_one_user() -> None:
    key = UserKey("client-ip")
    assert (
        key.of(request(client="2001:db8::1")) == key.of(request(client="2001:db8::2")) != key.of(request(client="2001:db9::1"))
    )


@pytest.mark.parametrize("value", ["x" * 8000, "a\x00b", "ä", '"quoted"', "../../etc"])
def test_a_value_that_a_client_made_up_is_hashed_and_never_sent_back(value: str) -> None:
    context = request(f"Cookie: balance-side={value}")
    assert UserKey().of(context) == value.encode()
    assert context.reply_lines == b""
