"""The stage that changes requests and replies of a route."""

import pytest
from contexts import request_context
from hypothesis import given
from hypothesis import strategies as st

from balance.config.model import HttpConfig, Retry, Timeouts
from balance.config.route_model import (
    Condition,
    HeaderChange,
    PoolUse,
    Rewrite,
    RouteConfig,
    RouteMatch,
    Rule,
    TrafficPolicy,
    Transform,
)
from balance.model import Why
from balance.stages.environment import StageEnvironment
from balance.stages.request_context import RequestContext
from balance.stages.stage import ReplyHead, Stage
from balance.stages.transform import TransformStage, transform_stage

ENVIRONMENT = StageEnvironment("main", HttpConfig(), (), lambda: 0.5)
HOST = b"Host: shop.example\r\n"


def stage_of(transform: Transform | None = None, host: str = "preserve") -> TransformStage:
    stage = transform_stage(RouteConfig("r", pool="p", transform=transform or Transform(), host=host), ENVIRONMENT)
    assert stage is not None
    return stage


def sent(stage: TransformStage, context: RequestContext) -> tuple[bytes, bytes]:
    """The target and the lines that go to the backend."""
    assert stage.on_request(context) is None
    return context.path + context.query, context.forward


def test_route_that_changes_nothing_has_no_stage() -> None:
    assert transform_stage(RouteConfig("r", pool="p", transform=Transform(strip_prefix="/")), ENVIRONMENT) is None


def test_only_routes_that_change_replies_have_a_side_for_them() -> None:
    assert type(stage_of(Transform(strip_prefix="/a"))).on_reply is Stage.on_reply
    assert type(stage_of(Transform(strip_prefix="/a", map_back=True))).on_reply is not Stage.on_reply


def test_request_is_changed() -> None:
    stage = stage_of(
        Transform(
            request_headers=(HeaderChange("set", "X-Client", "{client_ip} {scheme}"), HeaderChange("remove", "Cookie")),
            strip_prefix="/shop",
            add_prefix="/v2",
            rewrite=(Rewrite("^/old", "/new"),),
        )
    )
    context = request_context(b"/shop/old%2F?a=%2F", HOST + b"x-client: forged\r\nCookie: a\r\nCookie: b\r\n")
    assert sent(stage, context) == (
        b"/v2/new%2F?a=%2F",
        HOST + b"X-Client: 192.0.2.1 http\r\nX-Forwarded-Prefix: /shop\r\n",
    )


@pytest.mark.parametrize(
    ("target", "is_trusted", "prefix"),
    [
        (b"/foo/x", False, b"X-Forwarded-Prefix: /foo\r\n"),
        (b"/foo/x", True, b"X-Forwarded-Prefix: /forged/foo\r\n"),
        (b"/bar", False, b""),
        (b"/bar", True, b"X-Forwarded-Prefix: /forged\r\n"),
    ],
)
def test_prefix_is_ours_or_a_trusted_proxys(target: bytes, is_trusted: bool, prefix: bytes) -> None:
    context = request_context(target, HOST, is_trusted=is_trusted)
    context.fields.forwarding = ((b"x-forwarded-prefix", b"/forged"),)
    assert sent(stage_of(Transform(strip_prefix="/foo")), context)[1] == HOST + prefix
    assert context.without_own == ({b"x-forwarded-prefix"} if is_trusted else frozenset())  # it is not told twice


@pytest.mark.parametrize(
    "change", [HeaderChange("remove", "X-Forwarded-Prefix"), HeaderChange("set", "x-forwarded-prefix", "/p")]
)
def test_users_own_prefix_wins(change: HeaderChange) -> None:
    stage = stage_of(Transform(strip_prefix="/foo", request_headers=(change,)))
    own = b"x-forwarded-prefix: /p\r\n" if change.action == "set" else b""
    assert sent(stage, request_context(b"/foo", HOST)) == (b"/", HOST + own)


def test_users_own_forwarding_fields_win() -> None:
    changes = (
        HeaderChange("set", "X-Forwarded-Proto", "https"),
        HeaderChange("remove", "X-Real-IP"),
        HeaderChange("add", "X-Forwarded-For", "192.0.2.9"),
    )
    context = request_context()
    stage_of(Transform(request_headers=changes)).on_request(context)
    assert context.without_own == {b"x-forwarded-proto", b"x-real-ip"}


def test_users_own_fields_stand_in_for_those_of_a_trusted_proxy() -> None:
    changes = (HeaderChange("remove", "X-Forwarded-User"), HeaderChange("set", "X-Forwarded-Ssl", "on"))
    context = request_context(is_trusted=True)
    stage_of(Transform(request_headers=changes)).on_request(context)
    assert context.without_own == {b"x-forwarded-user", b"x-forwarded-ssl"}


@pytest.mark.parametrize("target", [b"/api/admin", b"/api//admin", b"/api/admin/x?y"])
def test_changed_path_is_judged_by_the_routes_of_its_pool(target: bytes) -> None:
    api = open_route("api", "p")
    stage = transform_stage(api, environment(api, guarded("p")))
    assert stage is not None
    context = routed_context(target)
    reply = stage.on_request(context)
    assert reply is not None
    assert (reply.status, reply.why, context.rule) == (403, Why.DENIED, "guarded/rules[0]")
    assert stage.on_request(routed_context(b"/api/x")) is None
    assert stage.on_request(routed_context(b"/admin")) is None  # unchanged: its own route has judged it


def test_rules_of_another_pools_routes_judge_no_changed_path() -> None:
    api = open_route("api", "p")
    stage = transform_stage(api, environment(api, guarded("other")))
    assert stage is not None
    assert stage.on_request(routed_context(b"/api/admin")) is None


def test_routes_of_a_listener_share_one_judge() -> None:
    routes = (open_route("api", "p"), open_route("v1", "p"), guarded("p"))
    made = environment(*routes)
    for route in routes:
        transform_stage(route, made)
    assert len(made.shared) == 1


def environment(*routes: RouteConfig) -> StageEnvironment:
    return StageEnvironment("main", HttpConfig(), routes, lambda: 0.5)


def open_route(name: str, pool: str) -> RouteConfig:
    return to(name, pool, Transform(strip_prefix=f"/{name}"))


def guarded(pool: str) -> RouteConfig:
    denial = Rule(Condition("prefix", "path", value="/admin"), "deny")
    return to("guarded", pool, Transform(), TrafficPolicy(rules=(denial,)), "/admin")


def to(name: str, pool: str, transform: Transform, policy: TrafficPolicy | None = None, path: str = "") -> RouteConfig:
    match = RouteMatch(path_operator="prefix", path=path or f"/{name}")
    uses = (PoolUse(pool, Timeouts(), Retry()),)
    return RouteConfig(name, match, pool, uses=uses, transform=transform, policy=policy or TrafficPolicy())


def routed_context(target: bytes) -> RequestContext:
    context = request_context(target, pool="p")
    return context


def test_host_is_the_given_one() -> None:
    context = request_context(forward=b"X-A: 1\r\nhost: Shop.example\r\n")
    assert sent(stage_of(host="app.internal:8080"), context)[1] == b"Host: app.internal:8080\r\nX-A: 1\r\n"
    assert context.host_to_backend == b"app.internal:8080"
    assert context.host_sent == b"shop.example"  # for X-Forwarded-Host


def test_host_of_the_backend_is_made_for_each_try() -> None:
    context = request_context(forward=HOST + b"X-A: 1\r\n")
    assert sent(stage_of(host="backend"), context)[1] == b"X-A: 1\r\n"
    assert context.per_try is not None
    assert context.per_try.lines(context, b"10.0.0.1:8080") == b"Host: 10.0.0.1:8080\r\n"
    context.backend = "b1"
    stage = stage_of(Transform(request_headers=(HeaderChange("set", "X-A", "{backend}"),)))
    assert sent(stage, context)[1] == b""
    assert context.per_try.lines(context, b"") == b"X-A: b1\r\n"


@pytest.mark.parametrize(("status", "is_own"), [(200, False), (304, False), (504, True), (308, True)])
def test_changes_of_replies_are_for_all_of_them(status: int, is_own: bool) -> None:
    stage = stage_of(
        Transform(
            response_headers=(HeaderChange("set", "Access-Control-Allow-Origin", "*"), HeaderChange("remove", "Server")),
            strip_prefix="/foo",
            map_back=True,
        )
    )
    lines = b"HTTP/1.1 %d X\r\nserver: b\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/\r\nLocation: /x\r\n" % status
    context = request_context(b"/foo/y")
    stage.on_request(context)
    reply = ReplyHead(status, lines, is_own=is_own)
    stage.on_reply(context, reply)
    prefix = b"/foo" if not is_own else b""
    assert reply.lines == (
        b"HTTP/1.1 %d X\r\nSet-Cookie: a=1; Path=%b\r\nSet-Cookie: b=2; Path=%b\r\nLocation: %b/x\r\n"
        b"Access-Control-Allow-Origin: *\r\n" % (status, prefix or b"/", prefix or b"/", prefix)
    )


def test_reply_to_a_request_without_the_prefix_is_not_mapped() -> None:
    stage = stage_of(Transform(strip_prefix="/foo", map_back=True))
    context = request_context(b"/bar")
    stage.on_request(context)
    reply = ReplyHead(302, b"HTTP/1.1 302 Found\r\nLocation: /x\r\n")
    stage.on_reply(context, reply)
    assert reply.lines.endswith(b"Location: /x\r\n")


def test_name_that_the_backend_gets_is_mapped_back() -> None:
    stage = stage_of(Transform(map_back=True), host="app.internal")
    context = request_context()
    stage.on_request(context)
    lines = b"HTTP/1.1 302 Found\r\nLocation: http://app.internal/x\r\nSet-Cookie: a=1; Domain=app.internal\r\n"
    reply = ReplyHead(302, lines)
    stage.on_reply(context, reply)
    assert reply.lines == lines.replace(b"app.internal", b"shop.example")


_EVERYTHING = stage_of(
    Transform(
        request_headers=(HeaderChange("add", "X-All", "{client_ip}{scheme}{host}{request_id}{region}"),),
        response_headers=(HeaderChange("add", "X-All", "{host}{request_id}{backend}{region}"),),
        strip_prefix="/foo",
        rewrite=(Rewrite("^/(.*)", "/x?$1"),),
        map_back=True,
    ),
    host="app.internal",
)


@given(st.text(), st.text(), st.binary(), st.text(), st.binary().map(lambda raw: bytes(0x24 + byte % 0x5B for byte in raw)))
def test_nobody_adds_a_line(client: str, host: str, request_id: bytes, region: str, path: bytes) -> None:
    context = request_context(
        b"/foo/" + path, HOST, client=client, host=host, request_id=request_id, region=region, backend=region, scheme=client
    )
    target, lines = sent(_EVERYTHING, context)
    assert target.startswith(b"/x")
    assert not set(target) & set(b"\r\n\0 #")
    assert [line.partition(b":")[0] for line in lines.split(b"\r\n")] in (
        [b"Host", b"X-Forwarded-Prefix", b""], [b"Host", b"X-All", b"X-Forwarded-Prefix", b""]
    )  # fmt: skip
    reply = ReplyHead(200, b"HTTP/1.1 200 OK\r\nLocation: /" + path + b"\r\n")
    _EVERYTHING.on_reply(context, reply)
    assert reply.lines.count(b"\n") == reply.lines.count(b"\r") <= 3
