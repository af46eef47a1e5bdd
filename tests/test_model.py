"""Addresses and the keywords of Why."""

import pytest

from balance.model import Address, Why


@pytest.mark.parametrize(
    ("text", "host", "port", "path", "shown"),
    [
        ("10.0.0.1:80", "10.0.0.1", 80, "", "10.0.0.1:80"),
        ("app.internal:8080", "app.internal", 8080, "", "app.internal:8080"),
        (":8080", "", 8080, "", ":8080"),
        ("[::1]:443", "::1", 443, "", "[::1]:443"),
        ("unix:/run/app.sock", "", 0, "/run/app.sock", "unix:/run/app.sock"),
        ("localhost:0", "localhost", 0, "", "localhost:0"),
    ],
)
def test_address_is_read_and_shown_as_users_write_it(text: str, host: str, port: int, path: str, shown: str) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.path) == (host, port, path)
    assert str(address) == shown


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("localhost", "has no port"),
        ("localhost:http", "'http' is not a number"),
        ("localhost:70000", "70000 is not in 0..65535"),
        ("localhost:-1", "'-1' is not a number"),
        ("::1:80", "brackets"),
        ("[::zz]:80", "'::zz' is not an IPv6 address"),
        ("unix:run/app.sock", "absolute path"),
        ("unix:/" + "x" * 110, "107 bytes"),
        ("a b:80", "is not a host name"),
        ("user@host:80", "is not a host name"),
        ("10.0.0..1:80", "between its dots stand 1 to 63 characters"),
        (f"{'a' * 64}.example:80", "between its dots stand 1 to 63 characters"),
        ("host:٣", "is not a number"),
    ],
)
def test_wrong_address_is_quoted_with_what_is_allowed(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Address.parse(text)
    assert text in str(caught.value)
    assert part in str(caught.value)


def test_empty_host_takes_the_default() -> None:
    assert Address.parse(":80", default_host="127.0.0.1").host == "127.0.0.1"


@pytest.mark.parametrize(("host", "is_ip"), [("127.0.0.1", True), ("::1", True), ("localhost", False), ("", False)])
def test_address_knows_whether_a_name_must_be_resolved(host: str, is_ip: bool) -> None:
    assert Address(host, 1).is_ip is is_ip


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("[::ffff:10.0.0.1]:1", False),
        ("localhost:1", True),
        ("unix:/run/admin.sock", True),
        (":9090", False),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("admin.example:1", False),
    ],
)
def test_only_addresses_of_this_machine_are_local(address: str, local: bool) -> None:
    assert Address.parse(address).is_local is local


def test_words_of_why_are_lower_case_and_keep_their_numbers() -> None:
    # The numbers are cells of the board: an old control process reads what a new worker wrote.
    assert Why.OK.word == "ok"
    assert Why.RESET_ON_REUSE.word == "reset_on_reuse"
    assert [why.value for why in Why] == list(range(len(Why)))


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="a path has no NUL"):
        Address.parse("unix:/run/a\0b")
