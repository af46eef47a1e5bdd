"""What an operator may say, and what is no order."""

import json

import pytest
from starlette.exceptions import HTTPException

from balance.health.states import Event
from balance.side.inside import Inside
from balance.side.orders import LIMIT_BYTES, find, is_own_host, read_order


@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("drain", Event.DRAIN),
        ("Draining", Event.DRAIN),
        ("maintenance", Event.MAINTAIN),
        ("enable", Event.ENABLE),
        ("enabled", Event.ENABLE),
    ],
)
def test_an_order_is_a_state_in_json(word: str, event: Event) -> None:
    assert read_order(json.dumps({"state": word}).encode()) is event


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the body is not JSON"),
        (b"drain", 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b"[]", 400, "the body is no order"),
        (b"{}", 400, "the body is no order"),
        (b'{"state": "drain", "for": "1h"}', 400, "the body is no order"),
        (b'{"state": "healthy"}', 400, "state 'healthy' cannot be ordered"),
        (b'{"state": 5}', 400, "state 5 cannot be ordered"),
        (b" " * (LIMIT_BYTES + 1), 413, "the body is too large"),
    ],
)
def test_what_is_no_order_is_refused_with_what_is(body: bytes, status: int, said: str) -> None:
    with pytest.raises(HTTPException) as caught:
        read_order(body)
    assert caught.value.status_code == status
    assert caught.value.detail.startswith(said)
    assert '{"state": "drain"}' in caught.value.detail


@pytest.mark.parametrize("name", ["a2", "app/a2"])
def test_a_backend_is_found_by_its_name_or_with_its_pool(inside: Inside, name: str) -> None:
    assert find(inside, name).slot == 2


def test_an_unknown_backend_is_404_and_those_that_are_are_named(inside: Inside) -> None:
    with pytest.raises(HTTPException, match="there is no backend 'a3'; there are a1, a2, r1") as caught:
        find(inside, "a3")
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:9090", True),
        ("localhost:9090", True),
        ("LocalHost", True),
        ("[::1]:9090", True),
        ("[::1]", True),
        ("", True),
        ("evil.example:9090", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example:9090", False),
    ],
)
def test_only_an_address_or_localhost_is_our_own_host(host: str, own: bool) -> None:
    assert is_own_host(host) is own
