"""Transformation over real connections: what backends and clients get, and that neither can add to what the other gets."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable

import pytest
from rawclient import Message, Wire, get, ok, post
from routed import http, prefix, to
from stage import Stage, serve

from balance.config.model import HttpConfig, Retry, SessionAffinity, TrustedProxy
from balance.config.route_model import (
    FixedResponse,
    HeaderChange,
    Redirect,
    Rewrite,
    RouteConfig,
    RouteMatch,
    Transform,
    WeightedPool,
)
from balance.model import Why

TRUSTED: tuple[TrustedProxy, ...] = (ipaddress.ip_network("127.0.0.0/8"),)
RETRY = Retry(max_attempts=3, on=("connect", "reset", 503))
CORS = HeaderChange("set", "Access-Control-Allow-Origin", "*")
HTTPS = to("https", "", redirect=Redirect(scheme="https"))


def echo(*fields: str, status: str = "200 OK") -> Callable[[Message], bytes]:
    """A backend whose reply is the head that it got."""

    def answer(request: Message) -> bytes:
        reply = ok(b"" if request.line.startswith("HEAD") else request.raw, *fields)
        return reply.replace(b"200 OK", status.encode(), 1)

    return answer


async def ask(wire: Wire, target: str, *fields: str) -> Message:
    await wire.send(get(target, *fields))
    return await wire.reply()


def lines(body: bytes) -> list[str]:
    return body.decode().split("\r\n")


def values(body: bytes, name: str) -> list[str]:
    """Of the fields that the backend got."""
    pairs = [line.partition(": ") for line in lines(body)]
    return [value for key, _, value in pairs if key.lower() == name]


async def transformed(stage: Stage, transform: Transform, *fields: str, host: str = "preserve") -> Wire:
    stage.backend(serve(echo(*fields)))
    await stage.open(http=http(to("r", transform=transform, host=host)))
    return await stage.client()


# --- requests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ("/foo", "/"),
        ("/foo/bar?x=%2F", "/bar?x=%2F"),
        ("/foobar", "/foobar"),
        ("/foo//bar", "/bar"),
        ("/foo/old/a%2Fb?x=1", "/new/a%2Fb?x=1"),
    ],
)
async def test_backend_gets_the_changed_path_and_the_prefix_once(stage: Stage, sent: str, got: str) -> None:
    wire = await transformed(stage, Transform(strip_prefix="/foo", rewrite=(Rewrite("^/old/(.*)", "/new/$1"),)))
    body = (await ask(wire, sent, "X-Forwarded-Prefix: /forged", "x-forwarded-prefix: /again")).body
    assert lines(body)[0] == f"GET {got} HTTP/1.1"
    assert values(body, "x-forwarded-prefix") == ([] if sent == "/foobar" else ["/foo"])


async def test_prefix_of_a_trusted_proxy_stands_before_ours_and_goes_once(stage: Stage) -> None:
    stage.backend(serve(echo()))
    await stage.open(http=http(to("r", transform=Transform(strip_prefix="/foo"))), trusted=TRUSTED)
    wire = await stage.client()
    for target, prefixes in (("/foo/x", ["/outer/foo"]), ("/bar", ["/outer"])):
        body = (await ask(wire, target, "X-Forwarded-Prefix: /outer", "X-Forwarded-User: me")).body
        assert values(body, "x-forwarded-prefix") == prefixes
        assert values(body, "x-forwarded-user") == ["me"]


async def test_prefix_is_put_in_front(stage: Stage) -> None:
    wire = await transformed(stage, Transform(add_prefix="/api/"))
    assert lines((await ask(wire, "/x?y")).body)[0] == "GET /api/x?y HTTP/1.1"


async def test_hop_by_hop_names_of_the_client_take_nothing_of_ours(stage: Stage) -> None:
    wire = await transformed(stage, Transform(strip_prefix="/foo", request_headers=(HeaderChange("set", "X-Auth", "ours"),)))
    forged = ("X-Auth: forged", "Connection: X-Forwarded-For, X-Auth, X-Forwarded-Prefix", "X-Forwarded-For: 10.0.0.1")
    body = (await ask(wire, "/foo", *forged)).body
    assert values(body, "x-auth") == ["ours"]
    assert values(body, "x-forwarded-for") == ["127.0.0.1"]
    assert values(body, "x-forwarded-prefix") == ["/foo"]


async def test_users_own_forwarding_fields_stand_in_for_ours(stage: Stage) -> None:
    changes = (
        HeaderChange("set", "X-Forwarded-Proto", "https"),
        HeaderChange("remove", "X-Real-IP"),
        HeaderChange("set", "X-Request-Id", "mine-{request_id}"),
    )
    wire = await transformed(stage, Transform(request_headers=changes))
    body = (await ask(wire, "/", "X-Request-Id: r7", "X-Real-IP: 10.0.0.1")).body
    assert values(body, "x-forwarded-proto") == ["https"]
    assert values(body, "x-real-ip") == []
    assert values(body, "x-request-id") == ["mine-r7"]
    assert values(body, "x-forwarded-host") == ["a.example"]
    assert values((await ask(wire, "/")).body, "x-request-id")[0].startswith("mine-")


async def test_body_follows_a_changed_head(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        while (request := await wire.request()) is not None:
            await wire.send(ok(request.target.encode() + request.body))

    stage.backend(script)
    await stage.open(http=http(to("r", transform=Transform(strip_prefix="/foo"))))
    wire = await stage.client()
    await wire.send(post(b"x" * 100_000, target="/foo/y"))
    assert (await wire.reply()).body == b"/y" + b"x" * 100_000


# --- Host -----------------------------------------------------------------------------------------------


async def test_backend_gets_the_given_host_and_the_clients_beside_it(stage: Stage) -> None:
    wire = await transformed(stage, Transform(), host="app.internal")
    body = (await ask(wire, "/")).body
    assert (values(body, "host"), values(body, "x-forwarded-host")) == (["app.internal"], ["a.example"])
    await wire.send(b"GET / HTTP/1.0\r\n\r\n")
    body = (await wire.reply()).body
    assert values(body, "host") == ["app.internal"]


async def test_listener_without_routes_may_give_a_host(stage: Stage) -> None:
    stage.backend(serve(echo()))
    await stage.open(http=HttpConfig(host="app.internal"))
    assert values((await ask(await stage.client(), "/")).body, "host") == ["app.internal"]


async def test_each_try_names_its_own_backend(stage: Stage) -> None:
    stage.backend(serve(echo(status="503 Service Unavailable")))
    second = stage.backend(serve(echo()))
    change = HeaderChange("set", "X-Served-By", "{backend}")
    route = to("r", host="backend", transform=Transform(request_headers=(change,)), retry=RETRY)
    nowhere = stage.refusing()
    await stage.open(nowhere, http=http(route), retry=RETRY)
    wire = await stage.client()
    for _ in range(6):
        body = (await ask(wire, "/", "X-Served-By: forged")).body
        assert values(body, "host") == [str(second.address)]
        assert values(body, "x-served-by") == ["n3"]
        assert values(body, "x-forwarded-host") == ["a.example"]
    await wire.send(b"GET / HTTP/1.0\r\n\r\n")
    assert values((await wire.reply()).body, "host") == [str(second.address)]


async def test_host_is_preserved_unless_asked(stage: Stage) -> None:
    wire = await transformed(stage, Transform(add_prefix="/api"))
    assert values((await ask(wire, "/")).body, "host") == ["a.example"]


# --- replies --------------------------------------------------------------------------------------------


async def test_cookies_stay_lines_and_follow_the_prefix(stage: Stage) -> None:
    wire = await transformed(
        stage,
        Transform(strip_prefix="/foo", map_back=True, response_headers=(CORS, HeaderChange("remove", "Server"))),
        "Set-Cookie: a=1; Path=/", "Server: b", "Set-Cookie: b=2; Path=/app", "Location: /login",
    )  # fmt: skip
    reply = await ask(wire, "/foo/x")
    assert reply.all("set-cookie") == ["a=1; Path=/foo", "b=2; Path=/foo/app"]
    assert (reply.get("location"), reply.get("server"), reply.get("access-control-allow-origin")) == ("/foo/login", None, "*")


async def test_what_a_reply_becomes_is_its_routes_and_its_requests(stage: Stage) -> None:
    """Though the backend sends the same head each time."""

    def adding(value: str, **more: object) -> Transform:
        return Transform(response_headers=(HeaderChange("set", "X-Got", value),), **more)  # type: ignore[arg-type]

    stage.backend(serve(lambda request: ok(b"", "Location: /x")))
    await stage.open(
        http=http(
            to("a", match=RouteMatch(host="a"), transform=adding("a")),
            to("b", match=RouteMatch(host="b"), transform=adding("b")),
            to("id", match=RouteMatch(host="id"), transform=adding("{request_id}")),
            to("host", match=RouteMatch(host="*.host"), transform=adding("{host}")),
            to("mapped", match=RouteMatch(host="mapped"), transform=adding("m", strip_prefix="/p", map_back=True)),
            to("split", "", split=(WeightedPool("pool"), WeightedPool("pool")), match=RouteMatch(host="split"),
               transform=adding("s")),
        )
    )  # fmt: skip
    wire = await stage.client()
    found = []
    asked = [
        ("a", "/"), ("b", "/"), ("id", "/1"), ("id", "/2"), ("x.host", "/"), ("y.host", "/"), ("mapped", "/"),
        ("mapped", "/p/"), ("split", "/new"), ("split", "/"),
    ]  # fmt: skip
    for host, target in [*asked, *asked]:
        user = ["Cookie: balance-side=7"] if (host, target) == ("split", "/") else []
        await wire.send(get(target, f"X-Request-Id: {target[1:] or 'root'}-1234", *user).replace(b"a.example", host.encode()))
        reply = await wire.reply()
        found.append((reply.get("x-got"), reply.get("location"), bool(reply.get("set-cookie"))))
    assert found[: len(asked)] == [
        ("a", "/x", False), ("b", "/x", False), ("1-1234", "/x", False), ("2-1234", "/x", False),
        ("x.host", "/x", False), ("y.host", "/x", False), ("m", "/x", False), ("m", "/p/x", False),
        ("s", "/x", True), ("s", "/x", False),
    ]  # fmt: skip
    assert found[len(asked) :] == found[: len(asked)]


async def test_session_cookie_keeps_its_own_path(stage: Stage) -> None:
    transform = Transform(strip_prefix="/foo", map_back=True, response_headers=(HeaderChange("remove", "Set-Cookie"),))
    stage.backend(serve(echo("Set-Cookie: a=1; Path=/")))
    await stage.open(http=http(to("r", transform=transform)), affinity=SessionAffinity(enabled=True, secret="x"))
    reply = await ask(await stage.client(), "/foo")
    cookie = reply.get("set-cookie")
    assert cookie is not None
    assert "Path=/;" in cookie


async def test_changes_are_also_for_what_has_no_body_and_for_our_own_errors(stage: Stage) -> None:
    def answer(request: Message) -> bytes:
        return b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"

    stage.backend(serve(answer))
    dead = to("dead", "dead", match=prefix("/dead"), transform=Transform(response_headers=(CORS,)))
    gone = RouteConfig(
        "gone", RouteMatch(path_operator="prefix", path="/gone"), redirect=Redirect(to="/"), transform=dead.transform
    )
    await stage.open(http=http(dead, gone, to("r", transform=dead.transform)), pools={"dead": []})
    wire = await stage.client()
    found = []
    for path in ("/", "/dead", "/gone"):
        reply = await ask(wire, path)
        found.append((reply.status, reply.get("access-control-allow-origin")))
    assert found == [(304, "*"), (503, "*"), (308, "*")]


@pytest.mark.parametrize(
    "told",
    [
        "Location: /x\rSet-Cookie: forged=1",
        "Location: /x\nSet-Cookie: forged=1",
        "Set-Cookie: a=1; Path=/\0; Domain=b",
    ],
)
async def test_backend_cannot_split_a_mapped_reply(stage: Stage, told: str) -> None:
    wire = await transformed(stage, Transform(strip_prefix="/foo", map_back=True), told)
    reply = await ask(wire, "/foo")
    assert (reply.status, reply.get("set-cookie"), reply.get("location")) == (502, None, None)


# --- redirects and fixed responses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/a%2Fb?x=1", "https://a.example/a%2Fb?x=1"),
        ("//evil.example/", "https://a.example//evil.example/"),
        ("/%0d%0aSet-Cookie:x=1", "https://a.example/%0d%0aSet-Cookie:x=1"),
    ],
)
async def test_redirect_to_https_keeps_the_target_and_drops_the_port(stage: Stage, target: str, location: str) -> None:
    stage.backend(serve(echo()))
    await stage.open(http=http(HTTPS))
    wire = await stage.client()
    await wire.send(get(target).replace(b"a.example", b"a.example:8080"))
    reply = await wire.reply()
    assert (reply.status, reply.get("location"), reply.get("content-length")) == (308, location, "0")
    assert reply.get("set-cookie") is None
    await wire.send(get(target).replace(b"GET", b"HEAD").replace(b"a.example", b"a.example:8080"))
    assert (await wire.reply("HEAD")).status == 308
    assert stage.whys == {Why.REDIRECTED: 2}


async def test_redirect_leads_to(stage: Stage) -> None:
    redirects = {
        "/to": Redirect(to="/new"),
        "/status": Redirect(to="/new", status=301),
        "/scheme": Redirect(scheme="https"),
        "/host": Redirect(host="b.example:81"),
        "/path": Redirect(path="/new"),
        "/query": Redirect(path="/new", keep_query=False),
    }
    stage.backend(serve(echo()))
    await stage.open(http=http(*(to(path, "", match=prefix(path), redirect=each) for path, each in redirects.items())))
    wire = await stage.client()
    found = {}
    for path in redirects:
        reply = await ask(wire, f"{path}?x")
        found[path] = (reply.status, reply.get("location"))
    assert found == {
        "/to": (308, "/new?x"),
        "/status": (301, "/new?x"),
        "/scheme": (308, "https://a.example/scheme?x"),
        "/host": (308, "http://b.example:81/host?x"),
        "/path": (308, "/new?x"),
        "/query": (308, "/new"),
    }


@pytest.mark.parametrize(("is_trusted", "status"), [(True, 200), (False, 308)])
async def test_scheme_is_believed_of_trusted_proxies_only(stage: Stage, is_trusted: bool, status: int) -> None:
    stage.backend(serve(echo()))
    route = to("r", redirect=Redirect(scheme="https"))
    await stage.open(http=http(route), trusted=TRUSTED if is_trusted else ())
    reply = await ask(await stage.client(), "/", "X-Forwarded-Proto: https")
    assert reply.status == status


async def test_post_is_redirected_with_its_body_taken(stage: Stage) -> None:
    stage.backend(serve(echo()))
    await stage.open(http=http(HTTPS))
    wire = await stage.client()
    await wire.send(post(b"GET /forged HTTP/1.1\r\nHost: x\r\n\r\n", target="/form"))
    assert (await wire.reply()).get("location") == "https://a.example/form"
    assert (await ask(wire, "/next")).get("location") == "https://a.example/next"


async def test_fixed_response_is_the_same_for_head_without_its_body(stage: Stage) -> None:
    stage.backend(serve(echo()))
    health = to("health", "", match=prefix("/health"), respond=FixedResponse(200, "ok\n", (("Cache-Control", "no-store"),)))
    none = to("none", "", match=prefix("/none"), respond=FixedResponse(204, "x"))
    await stage.open(http=http(health, none, to("rest")))
    wire = await stage.client()
    full = await ask(wire, "/health")
    assert (full.status, full.body, full.get("content-type")) == (200, b"ok\n", "text/plain; charset=utf-8")
    assert full.get("cache-control") == "no-store"
    await wire.send(get("/health").replace(b"GET", b"HEAD"))
    head = await wire.reply("HEAD")
    assert (head.status, head.get("content-length"), head.body) == (200, "3", b"")
    empty = await ask(wire, "/none")
    assert (empty.status, empty.get("content-length"), empty.get("content-type")) == (204, None, None)
    assert (await ask(wire, "/rest")).body.startswith(b"GET /rest")
    assert stage.whys == {Why.FIXED_RESPONSE: 3, Why.OK: 1}


async def test_routes_own_error_page_keeps_the_status(stage: Stage) -> None:
    def missing(request: Message) -> bytes:
        return b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    stage.backend(serve(missing))
    dead = to("dead", "dead", match=prefix("/dead"), error_pages=((503, "<h1>{why}</h1>"), (404, "ours")))
    api = to("api", match=prefix("/api"), error_pages=((404, "ours"),))
    await stage.open(http=http(dead, api), pools={"dead": []})
    wire = await stage.client()
    reply = await ask(wire, "/dead")
    assert (reply.status, reply.body, reply.get("content-type")) == (503, b"<h1>no_healthy</h1>", "text/html; charset=utf-8")
    await wire.send(get("/dead").replace(b"GET", b"HEAD"))
    head = await wire.reply("HEAD")
    assert (head.status, head.get("content-length"), head.body) == (503, "19", b"")
    passed = await ask(wire, "/api")  # the backend's own
    assert (passed.status, passed.body, passed.get("content-type")) == (404, b"{}", "application/json")
    assert json.loads((await ask(wire, "/other")).body)["why"] == "no_route"
