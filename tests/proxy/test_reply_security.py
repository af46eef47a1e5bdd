"""Security fields and CORS over real connections: also on replies of our own, with HSTS as a trusted proxy tells."""

from __future__ import annotations

import ipaddress

from rawclient import get, ok
from routed import http, prefix, to
from stage import Stage, serve

from balance.config.common_model import RateLimit
from balance.config.model import TrustedProxy
from balance.config.route_model import Condition, FixedResponse, Rule, TrafficPolicy
from balance.security.settings import Cors, RouteSecurity, SecurityHeaders

TRUSTED: tuple[TrustedProxy, ...] = (ipaddress.ip_network("127.0.0.0/8"),)
CORS = Cors(enabled=True, allow_origins=("https://a.example",))
SECURED = RouteSecurity(SecurityHeaders(enabled=True, hsts_max_age_s=60.0), CORS)
ORIGIN = "Origin: https://a.example"


async def test_hsts_goes_out_over_tls_as_a_trusted_proxy_tells_and_never_else(stage: Stage) -> None:
    stage.backend(serve(ok(b"ok", "Strict-Transport-Security: max-age=1")))
    await stage.open(http=http(to("r", security=SECURED)), trusted=TRUSTED)
    wire = await stage.client()
    for proto, expected in (("https", ["max-age=60"]), ("http", []), ("https", ["max-age=60"])):
        await wire.send(get("/", f"X-Forwarded-Proto: {proto}"))
        assert (await wire.reply()).all("strict-transport-security") == expected


async def test_who_is_not_trusted_cannot_tell(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=http(to("r", security=SECURED)))
    wire = await stage.client()
    await wire.send(get("/", "X-Forwarded-Proto: https"))
    assert (await wire.reply()).all("strict-transport-security") == []


async def test_our_own_replies_can_be_read_by_the_page_and_have_the_fields(stage: Stage) -> None:
    fixed = FixedResponse(200, "hi", (("Access-Control-Allow-Origin", "*"),))
    await stage.open(
        stage.refusing(),
        http=http(
            to("down", match=prefix("/down"), security=SECURED),
            to("fixed", "", match=prefix("/fixed"), respond=fixed, security=SECURED),
        ),
    )
    wire = await stage.client()
    await wire.send(get("/fixed", ORIGIN))
    reply = await wire.reply()
    assert reply.all("access-control-allow-origin") == ["https://a.example"]
    assert reply.all("vary") == ["Origin"]
    assert reply.all("x-content-type-options") == ["nosniff"]
    await wire.send(get("/down", ORIGIN))
    reply = await wire.reply()
    assert reply.status in (502, 503)
    assert reply.all("access-control-allow-origin") == ["https://a.example"]
    assert reply.all("x-frame-options") == ["SAMEORIGIN"]


async def test_refusals_can_be_read_by_the_page(stage: Stage) -> None:
    denied = Rule(Condition("prefix", "path", value="/denied"), "deny")
    limit = RateLimit(enabled=True, requests_per_second=0.001, burst=1)
    stage.backend(serve(ok()))
    await stage.open(http=http(to("r", security=SECURED, policy=TrafficPolicy(rules=(denied,)), rate_limit=limit)))
    wire = await stage.client()
    for path, status in (("/denied", 403), ("/", 429)):
        await wire.send(get(path, ORIGIN))
        reply = await wire.reply()
        assert (reply.status, reply.all("access-control-allow-origin")) == (status, ["https://a.example"])
        assert (reply.all("vary"), reply.all("x-content-type-options")) == (["Origin"], ["nosniff"])


async def test_two_origins_are_told_apart_on_one_connection(stage: Stage) -> None:
    stage.backend(serve(ok(b"ok", "Access-Control-Allow-Origin: *", "Vary: Accept")))
    await stage.open(http=http(to("r", security=SECURED)))
    wire = await stage.client()
    for origin, expected in (("https://a.example", ["https://a.example"]), ("https://evil.example", [])) * 2:
        await wire.send(get("/", f"Origin: {origin}"))
        reply = await wire.reply()
        assert reply.all("access-control-allow-origin") == expected
        assert reply.all("vary") == ["Accept", "Origin"]


async def test_a_preflight_never_reaches_a_backend(stage: Stage) -> None:
    stage.backend(serve(ok()))
    await stage.open(http=http(to("r", security=SECURED)))
    wire = await stage.client()
    await wire.send(get("/", ORIGIN, "Access-Control-Request-Method: PUT").replace(b"GET", b"OPTIONS", 1))
    reply = await wire.reply()
    assert (reply.status, reply.body) == (204, b"")
    assert reply.all("content-length") == []  # RFC 9110 section 8.6
    assert reply.all("access-control-allow-origin") == ["https://a.example"]
    assert stage.backends[0].wires == []
    await wire.send(get("/"))
    assert (await wire.reply()).status == 200
