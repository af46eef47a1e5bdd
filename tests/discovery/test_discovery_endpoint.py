"""Endpoints: their names, addresses and weights, and answers made of them."""

import pytest

from balance.discovery.answer import Answer
from balance.discovery.endpoint import Endpoint, checked_address, checked_name, checked_weight, name_of


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("app.example:8080", "app.example:8080"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("10.0.0.1:080", "10.0.0.1:80"),
    ],
)
def test_an_address_is_written_in_one_way(text: str, address: str) -> None:
    assert checked_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1", ":80", "10.0.0.1:0", "10.0.0.1:70000", "::1:80", "a b:80", "http://a:80", "unix:x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """S11: an empty host with a port is no backend."""
    with pytest.raises(ValueError, match=r"."):
        checked_address(text)


@pytest.mark.parametrize(
    ("address", "name"), [("10.0.0.1:80", "10.0.0.1:80"), ("[::1]:80", "[::1]:80"), ("unix:/run/a/b.sock", "run.a.b.sock")]
)
def test_an_endpoint_without_a_name_has_that_of_its_address(address: str, name: str) -> None:
    assert name_of(address) == Endpoint(address).key == name == checked_name(name)
    assert Endpoint(address, name="own").key == "own"


@pytest.mark.parametrize("text", ["", "a/b", "a b", "a\nb", "a" * 101, "a\x00"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        checked_name(text)


@pytest.mark.parametrize("weight", [-1, 65536])
def test_what_is_no_weight_is_refused(weight: int) -> None:
    with pytest.raises(ValueError, match=r"is not in 0\.\.65535"):
        checked_weight(weight)


def test_an_answer_without_anybody_is_an_answer() -> None:
    assert Answer(()).endpoints == ()
    assert Answer((Endpoint("a:1"),)) == Answer((Endpoint("a:1"),))
