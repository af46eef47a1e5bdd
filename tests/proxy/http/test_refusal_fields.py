"""A refusal without a body of its own has the fields that its stage gave it, whatever the method and the version."""

from __future__ import annotations

import pytest
from rawclient import Wire, get
from routed import http, prefix, to
from stage import Stage, serve

from balance.config.model import RateLimit
from balance.config.route_model import RouteConfig, RouteMatch
from balance.security.settings import BasicAuth, RouteSecurity

HASH = "scrypt:16:8:1$c2FsdA$" + "00" * 32
GUARDED = RouteSecurity(basic_auth=BasicAuth(enabled=True, users=(("ada", HASH),)))
LIMITED = RateLimit(enabled=True, requests_per_second=0.001, burst=1)
ASKED = [(method, version) for method in ("GET", "HEAD", "DELETE") for version in ("HTTP/1.0", "HTTP/1.1")]
LIMIT_FIELDS = ("retry-after", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining")


async def asked(wire: Wire, method: str, version: str, *fields: str) -> dict[str, str]:
    """The fields of the reply, its status as `:status`."""
    request = get("/", *fields).replace(b"GET ", method.encode() + b" ", 1).replace(b"HTTP/1.1", version.encode(), 1)
    await wire.send(request)
    reply = await wire.reply(method)
    if method == "HEAD":
        assert not wire.unread
    return {name.lower(): value for name, value in reply.fields} | {":status": str(reply.status)}


@pytest.mark.parametrize(
    "routes",
    [
        pytest.param((to("all", security=GUARDED),), id="one route"),
        pytest.param((to("all", match=RouteMatch(host="a.example"), security=GUARDED), to("rest")), id="a route by host"),
        pytest.param((to("free", match=prefix("/free")), to("all", security=GUARDED)), id="a route by path"),
    ],
)
async def test_a_401_says_how_to_ask(stage: Stage, routes: tuple[RouteConfig, ...]) -> None:
    stage.backend(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    await stage.open(http=http(*routes))
    for method, version in ASKED * 2:  # the second time what is known of the route is remembered
        found = await asked(await stage.client(), method, version)
        assert found[":status"] == "401"
        assert found["www-authenticate"].startswith("Basic realm=")


async def test_a_429_says_when_to_come_again(stage: Stage) -> None:
    stage.backend(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    await stage.open(http=http(to("all", rate_limit=LIMITED)))
    assert (await asked(await stage.client(), "GET", "HTTP/1.1"))[":status"] == "200"
    for method, version in ASKED:
        found = await asked(await stage.client(), method, version)
        assert found[":status"] == "429"
        assert [name for name in LIMIT_FIELDS if name not in found] == []
