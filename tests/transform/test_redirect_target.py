"""Where redirects lead: never to a host that a client names, never with the listener's port, never to where it came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variables import RequestValues

from balance import linear_regex
from balance.config.route_model import Redirect
from balance.transform.redirect_target import RedirectTarget

HTTPS = Redirect(scheme="https")


def location(redirect: Redirect, url: str, regex: str = "") -> bytes:
    scheme, _, rest = url.partition("://")
    host, slash, target = rest.partition("/")
    path, mark, query = (slash + target).encode().partition(b"?")
    values = RequestValues(scheme=scheme, host_sent=host.encode(), path=path, query=mark + query)
    return RedirectTarget(redirect, linear_regex.compile(regex) if regex else None).location(values)


CASES = [
    # to https, by the raw path
    (HTTPS, "http://shop.example/a%2Fb?x=1", b"https://shop.example/a%2Fb?x=1"),
    (HTTPS, "http://shop.example:8080/x", b"https://shop.example/x"),
    (HTTPS, "http://shop.example:80/x", b"https://shop.example/x"),
    (HTTPS, "http://[::1]:8080/x", b"https://[::1]/x"),
    (HTTPS, "http://Shop.example./x", b"https://Shop.example./x"),
    (HTTPS, "https://shop.example/x", b""),  # a proxy before us ended TLS
    (HTTPS, "https://shop.example:8443/x", b""),
    (HTTPS, "http://shop.example/%0d%0aSet-Cookie:x=1", b"https://shop.example/%0d%0aSet-Cookie:x=1"),
    (HTTPS, "http://shop.example//evil.example/", b"https://shop.example//evil.example/"),
    (Redirect(scheme="https", keep_query=False), "http://a/x?y", b"https://a/x"),
    # another host
    (Redirect(host="www.example"), "http://example/x?y", b"http://www.example/x?y"),
    (Redirect(host="www.example"), "https://example:8443/x", b"https://www.example/x"),
    (Redirect(host="www.example:8443", scheme="https"), "http://example/", b"https://www.example:8443/"),
    (Redirect(host="www.example:443", scheme="https"), "http://example/", b"https://www.example/"),
    (Redirect(host="www.example:80"), "http://example/", b"http://www.example/"),
    (Redirect(host="www.example"), "http://WWW.example.:8080/x", b""),
    (Redirect(host="www.example:8080"), "http://www.example/x", b"http://www.example:8080/x"),
    (Redirect(host="www.example:8080"), "http://www.example:8080/x", b""),
    (Redirect(host="www.example:80"), "http://www.example/x", b""),
    (Redirect(host="www.example", scheme="https"), "https://www.example/x", b""),
    (Redirect(host="bücher.example"), "http://a/", b"http://xn--bcher-kva.example/"),
    # another path
    (Redirect(path="/new"), "http://a:8080/old?x=1", b"/new?x=1"),
    (Redirect(path="/new", keep_query=False), "http://a/old?x=1", b"/new"),
    (Redirect(path="/new"), "http://a/new?x=1", b""),
    (Redirect(path="/new", scheme="https"), "http://a:8080/old", b"https://a/new"),
    (Redirect(path="//evil.example"), "http://a/old", b"/evil.example"),
    # to
    (Redirect(to="/new"), "http://a/old?x=1", b"/new?x=1"),
    (Redirect(to="new"), "http://a/old", b"/new"),
    (Redirect(to="/new?a=1#top"), "http://a/old?x=1", b"/new?a=1&x=1#top"),
    (Redirect(to="/grün"), "http://a/old", b"/gr%C3%BCn"),
    (Redirect(to="https://new.example"), "http://a/old?x", b"https://new.example/?x"),
    (Redirect(to="https://new.example?a=1"), "http://a/old", b"https://new.example/?a=1"),
    (Redirect(to="https://new.example:8443/x"), "http://a/old", b"https://new.example:8443/x"),
    (Redirect(to="https://new.example:443/x"), "http://a/old", b"https://new.example/x"),
    (Redirect(to="//new.example/x"), "https://a/old", b"https://new.example/x"),
    (Redirect(to="https://a/x"), "https://a/x", b""),
    (Redirect(to="/$1"), "http://a/old", b"/$1"),
]


@pytest.mark.parametrize(("redirect", "url", "expected"), CASES)
def test_request_is_sent_to(redirect: Redirect, url: str, expected: bytes) -> None:
    assert location(redirect, url) == expected


@pytest.mark.parametrize(
    ("redirect", "url", "expected"),
    [
        (Redirect(to="/new/$1"), "http://a/old/x%2Fy?z", b"/new/x%2Fy?z"),
        (Redirect(to="https://b.example/$1"), "http://a/old/x", b"https://b.example/x"),
        (Redirect(to="/$1"), "http://a/old//evil.example", b"/evil.example"),
        (Redirect(to="/$1"), "http://a/old/\\evil.example", b"/%5Cevil.example"),
        (Redirect(to="$1"), "http://a/old/%5Cevil.example", b"/%5Cevil.example"),
        (Redirect(to="/s?q=$1"), "http://a/old/a&b=c", b"/s?q=a%26b%3Dc"),
    ],
)
def test_group_of_the_routes_path(redirect: Redirect, url: str, expected: bytes) -> None:
    assert location(redirect, url, "^/old/(.*)") == expected


@pytest.mark.parametrize("path", [b"//evil.example/", b"/\\evil.example", b"///evil.example", b"/\\/evil.example"])
def test_host_in_the_path_is_none(path: bytes) -> None:
    target = RedirectTarget(Redirect(to="$1"), linear_regex.compile("^/go(.*)"))
    made = target.location(RequestValues(path=b"/go" + path, query=b"?x"))
    assert made.startswith((b"/evil", b"/%5C"))


@pytest.mark.parametrize(
    "redirect",
    [
        Redirect(to="https://a b/x"),
        Redirect(to="https://user@a/x"),
        Redirect(to="https:///x"),
        Redirect(to="/a b"),
        Redirect(to="/a\r\nX: 1"),
        Redirect(host="a/b"),
        Redirect(host="a\r\nX: 1"),
        Redirect(to="https://a$1/"),  # a client would choose the host
    ],
)
def test_target_that_no_location_can_have_is_refused(redirect: Redirect) -> None:
    with pytest.raises(ValueError):
        RedirectTarget(redirect, linear_regex.compile("^(.*)"))


def test_host_of_the_request_is_needed_for_another_scheme_only() -> None:
    assert RedirectTarget(HTTPS).needs_host
    assert not RedirectTarget(Redirect(scheme="https", host="a")).needs_host
    assert not RedirectTarget(Redirect(path="/x")).needs_host


_VISIBLE = st.binary(max_size=20).map(lambda raw: bytes(0x24 + byte % 0x5B for byte in raw))


@given(_VISIBLE, st.sampled_from([redirect for redirect, _, _ in CASES] + [Redirect(to="$0"), Redirect(path="/$0?$0")]))
def test_location_is_one_line_and_leads_to_no_other_host(sent: bytes, redirect: Redirect) -> None:
    path, mark, query = (b"/" + sent).partition(b"?")
    target = RedirectTarget(redirect, linear_regex.compile("(.*)"))
    made = target.location(RequestValues(host_sent=b"own.example:8080", path=path, query=mark + query))
    assert not set(made) & set(b"\r\n\0 ")
    assert not made.startswith((b"//", b"/\\"))
    if made[:1] != b"/" and made:
        authority = made.partition(b"://")[2].partition(b"/")[0]
        assert authority.decode() in {"own.example", "www.example", "www.example:8443", "www.example:8080", "new.example",
                                      "new.example:8443", "xn--bcher-kva.example", "a"}  # fmt: skip


@pytest.mark.parametrize(
    ("redirect", "target"),
    [
        (HTTPS, b"https://shop.example"),
        (Redirect(host="www.example"), b"http://www.example"),
        (Redirect(host="www.example", path="/new"), b"http://www.example/new"),
    ],
)
def test_options_of_the_server_itself_leads_to_another_server(redirect: Redirect, target: bytes) -> None:
    """`*` behind a host's name would be a part of the name."""
    assert RedirectTarget(redirect).location(RequestValues(path=b"*")) == target
