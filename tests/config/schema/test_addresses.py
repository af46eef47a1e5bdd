"""Parsing of listen addresses, backend addresses and trusted proxies."""

import ipaddress

import pytest

from balance.config.schema.addresses import BACKEND_ADDRESS, LISTEN, TRUSTED_PROXY
from balance.model import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", Address("", 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::]:80", Address("::", 80)),
        ("unix:/run/x.sock", Address("", 0, "/run/x.sock")),
    ],
)
def test_an_address_to_listen_on(text: str, address: Address) -> None:
    assert LISTEN.read(text) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("app:8000", Address("app", 8000)),
        ("http://app:8000", Address("app", 8000)),
        ("http://app:8000/", Address("app", 8000)),
        ("http://app", Address("app", 80)),
        ("HTTP://app", Address("app", 80)),
        ("http://[::1]:81", Address("::1", 81)),
        ("http://[::1]", Address("::1", 80)),
        ("tcp://db:5432", Address("db", 5432)),
        ("unix:/run/x.sock", Address("", 0, "/run/x.sock")),
    ],
)
def test_an_address_of_a_backend_may_be_a_url(text: str, address: Address) -> None:
    assert BACKEND_ADDRESS.read(text).address == address


@pytest.mark.parametrize(
    ("text", "scheme", "port"),
    [("app:1", "", 1), ("tcp://app:1", "", 1), ("http://app", "http", 80), ("https://app", "https", 443),
     ("HTTPS://app:8443/", "https", 8443)],
)  # fmt: skip
def test_the_scheme_of_a_url_says_whether_a_backend_has_tls(text: str, scheme: str, port: int) -> None:
    found = BACKEND_ADDRESS.read(text)
    assert (found.scheme, found.address) == (scheme, Address("app", port))


@pytest.mark.parametrize(
    "text", ["http://", "http://user:secret@a:1", "http://a:x", "http://a:99999", "http://a?b", "http://[::1", "://a"]
)
def test_a_url_that_is_more_or_less_than_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        BACKEND_ADDRESS.read(text)


def test_a_password_in_a_url_is_not_quoted() -> None:
    with pytest.raises(ValueError) as caught:
        BACKEND_ADDRESS.read("http://user:secret@a:1")
    assert "secret" not in str(caught.value)


def test_a_network_is_exact() -> None:
    assert TRUSTED_PROXY.read("10.0.0.0/8") == ipaddress.ip_network("10.0.0.0/8")
    assert TRUSTED_PROXY.read("::1") == ipaddress.ip_network("::1/128")
    assert TRUSTED_PROXY.read("::ffff:10.0.0.1") == ipaddress.ip_network("10.0.0.1/32")
    assert TRUSTED_PROXY.read("::ffff:10.0.0.0/104") == ipaddress.ip_network("10.0.0.0/8")
    assert TRUSTED_PROXY.read("::ffff:0:0/96") == ipaddress.ip_network("0.0.0.0/0")
    assert TRUSTED_PROXY.read("::/0") == ipaddress.ip_network("::/0")
    with pytest.raises(ValueError, match=r"'10\.1\.0\.0/8' has bits set beyond its prefix; write 10\.0\.0\.0/8"):
        TRUSTED_PROXY.read("10.1.0.0/8")


@pytest.mark.parametrize("text", ["unix", "UNIX", "unix:"])
def test_a_trusted_proxy_may_be_on_a_unix_socket(text: str) -> None:
    assert TRUSTED_PROXY.read(text) == "unix"


def test_one_socket_s_path_is_no_trusted_proxy() -> None:
    with pytest.raises(
        ValueError, match=r"'unix:/run/x\.sock' names one socket; write unix: whoever connects over a Unix socket"
    ):
        TRUSTED_PROXY.read("unix:/run/x.sock")
