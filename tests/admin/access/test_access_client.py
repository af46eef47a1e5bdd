"""Who asks, and by which token."""

import pytest

from balance.admin.access.client import Client, find_token
from balance.config.model import AdminAuth, AdminToken
from balance.config.reading.admin_settings import digest

AUTH = AdminAuth((AdminToken("ops", digest("one")), AdminToken("empty")), (AdminToken("ci", digest("two")),))


@pytest.mark.parametrize(
    ("presented", "found"),
    [
        ("one", ("ops", True)),
        ("two", ("ci", False)),
        ("", None),
        ("One", None),
        ("one ", None),
        ("\xff\udcff", None),
        ("x" * 10**6, None),
    ],
)
def test_a_token_is_found_whole(presented: str, found: tuple[str, bool] | None) -> None:
    assert find_token(AUTH, presented) == found


@pytest.mark.parametrize(
    ("client", "who"),
    [
        (Client(), "unauthenticated"),
        (Client("ops"), "token ops"),
        (Client("", "CN=Ada"), "unauthenticated, certificate CN=Ada"),
        (Client("ops", "CN=Ada"), "token ops, certificate CN=Ada"),
    ],
)
def test_who_it_is(client: Client, who: str) -> None:
    assert client.who == who
