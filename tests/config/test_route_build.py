"""Routes of a text, as the program uses them: every key arrives, and the nearest wins."""

import ipaddress
import shutil
from pathlib import Path

import pytest

from balance.config import load_text
from balance.config.model import BackendConfig, Buffering, Compression, Config, HashKey, ListenerConfig, RouteConfig, Transform
from balance.config.route_model import (
    BlueGreen,
    Canary,
    Condition,
    Fault,
    FixedResponse,
    HeaderChange,
    Mirror,
    Redirect,
    Regions,
    Rewrite,
    RouteMatch,
    Rule,
    TrafficPolicy,
    ValueMatch,
    WeightedPool,
)
from balance.model import Address

POOLS = "pools: {a: {backends: [{address: a:1}]}, b: {backends: [{address: b:1}]}}\n"
LISTEN = "listeners: [{listen: ':1', pool: a}]\n"


def config_of(text: str) -> Config:
    return load_text(text, "f.yaml", {}).config


def listener_of(routes: str, more: str = "") -> ListenerConfig:
    (listener,) = config_of(LISTEN + POOLS + more + f"http:\n  routes:\n{routes}").listeners
    return listener


def route_of(text: str, more: str = "") -> RouteConfig:
    (route,) = listener_of(f"    - {text}\n", more).http.routes
    return route


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{}", RouteMatch()),
        ("{host: Shop.Example.ORG.:443}", RouteMatch(host="shop.example.org")),
        ("{host: '*.Example.org'}", RouteMatch(host="*.example.org")),
        ("{host: '*'}", RouteMatch()),
        ("{host: bücher.example}", RouteMatch(host="xn--bcher-kva.example")),
        ("{host: '[2001:DB8:0::1]:80'}", RouteMatch(host="[2001:db8::1]")),
        ("{path: /a%2Fb}", RouteMatch(path_operator="exact", path="/a%2Fb")),
        ("{path_prefix: /foo/}", RouteMatch(path_operator="prefix", path="/foo")),
        ("{path_prefix: /}", RouteMatch(path_operator="prefix", path="/")),
        ("{path_regex: '^/v[0-9]+/'}", RouteMatch(path_operator="regex", path="^/v[0-9]+/")),
        ("{methods: GET}", RouteMatch(methods=("GET",))),
        ("{methods: [GET, POST, GET], priority: -3}", RouteMatch(methods=("GET", "POST"), priority=-3)),
        (
            "{headers: {X-A: 1, X-B: {present: true}, X-C: {present: false}, X-D: {regex: '^a'}, X-E: {prefix: b}}}",
            RouteMatch(
                headers=(
                    ValueMatch("x-a", "equals", "1"),
                    ValueMatch("x-b", "present"),
                    ValueMatch("x-c", "absent"),
                    ValueMatch("x-d", "regex", "^a"),
                    ValueMatch("x-e", "prefix", "b"),
                )
            ),
        ),
        (
            "{query: {Debug: ''}, cookies: {Plan: gold}}",
            RouteMatch(query=(ValueMatch("Debug"),), cookies=(ValueMatch("Plan", "equals", "gold"),)),
        ),
    ],
)
def test_conditions(text: str, match: RouteMatch) -> None:
    assert route_of(text).match == match


def test_where_requests_go() -> None:
    routes = listener_of(
        """\
    - {}
    - {pool: b}
    - {split: [{pool: a}, {pool: b, weight: 3}]}
    - {redirect: {scheme: https, host: "Www.example:8443", path: /x, status: 301, keep_query: false}}
    - {respond: {status: 410, body: gone, headers: {X-A: b}}}
    - {name: own, backends: [{address: "c:1"}]}
    - {policy: {blue_green: {blue: a, green: b}}}
"""
    ).http.routes
    assert [route.name for route in routes] == ["route-1", "route-2", "route-3", "route-4", "route-5", "own", "route-7"]
    assert [route.pool for route in routes] == ["a", "b", "", "", "", "own", ""]
    assert [[use.pool for use in route.uses] for route in routes] == [["a"], ["b"], ["a", "b"], [], [], ["own"], ["a", "b"]]
    assert routes[2].split == (WeightedPool("a"), WeightedPool("b", 3))
    assert routes[3].redirect == Redirect("", 301, "https", "www.example:8443", "/x", False)
    assert routes[4].respond == FixedResponse(410, "gone", (("X-A", "b"),))


def test_backends_of_a_route_are_a_pool_that_is_called_as_the_route() -> None:
    own = (
        "{name: own, backends: [{address: 'c:1', region: eu}], load_balancer: {algorithm: maglev, hash_key: path}, "
        "retry: {max_attempts: 7}}"
    )
    config = config_of(LISTEN + POOLS + f"http: {{routes: [{own}]}}")
    pool = config.pool("own")
    assert pool.backends == (BackendConfig("backend-1", Address("c", 1), region="eu"),)
    assert (pool.algorithm, pool.hash_key, pool.retry.max_attempts) == ("maglev", HashKey("path"), 7)
    (route,) = config.listeners[0].http.routes
    assert (route.algorithm, route.hash_key) == ("", None)  # the pool's


def test_routes_work_in_the_simple_form() -> None:
    config = config_of("listen: ':1'\nbackends: [{address: a:1}]\nhttp: {routes: [{path: /x, respond: {body: y}}, {}]}")
    assert [route.pool for route in config.listeners[0].http.routes] == ["", "default"]
    assert config.listeners[0].pools == ("default",)


def test_redirects_alone_need_no_pool() -> None:
    config = config_of("listen: ':1'\nhttp: {routes: [{redirect: {scheme: https}}]}")
    assert config.pools == ()
    assert config.listeners[0].pools == ()


def test_a_listeners_routes_stand_instead_of_those_at_the_top() -> None:
    listeners = (
        "listeners: [{listen: ':1', pool: a, http: {routes: [{name: own}]}}, {listen: ':2', pool: b}, "
        "{listen: ':3', mode: tcp, pool: a}]\n"
    )
    config = config_of(listeners + POOLS + "http: {routes: [{name: top}, {name: other, path: /x}]}")
    assert [[route.name for route in each.http.routes] for each in config.listeners] == [["own"], ["top", "other"], []]
    assert [each.pools for each in config.listeners] == [("a",), ("b",), ("a",)]


def test_timeouts_and_retries_of_the_nearest_win_key_by_key() -> None:
    text = """\
timeouts: {connect: 1s, read: 1s, write: 1s, request: 1s}
retry: {max_attempts: 3, multiplier: 3, backoff_max: 3s, budget: {ratio: 0.3}}
listeners: [{listen: ':1', pool: a, timeouts: {read: 2s, write: 2s, request: 2s}}]
pools:
  a: {backends: [{address: a:1}], timeouts: {write: 3s, request: 3s}, retry: {max_attempts: 4, multiplier: 4}}
  b: {backends: [{address: b:1}]}
http: {routes: [{split: [{pool: b}, {pool: a}], timeouts: {request: 4s}, retry: {max_attempts: 5}}]}
"""
    (route,) = config_of(text).listeners[0].http.routes
    assert [
        (use.pool, use.timeouts.connect_s, use.timeouts.read_s, use.timeouts.write_s, use.timeouts.request_s)
        for use in route.uses
    ] == [
        ("b", 1.0, 2.0, 2.0, 4.0),
        ("a", 1.0, 2.0, 3.0, 4.0),
    ]
    retries = [use.retry for use in route.uses]
    assert [(each.max_attempts, each.multiplier, each.backoff_max_s, each.budget.ratio) for each in retries] == [
        (5, 3.0, 3.0, 0.3),
        (5, 4.0, 3.0, 0.3),
    ]
    assert (route.timeouts, route.retry) == (route.uses[0].timeouts, route.uses[0].retry)


def test_transform_compression_and_the_like_are_laid_over_the_listeners() -> None:
    more = ""
    text = """\
    - transform: {strip_prefix: /v1/, rewrite: [{regex: "^/a(.*)", replacement: "/b$1"}], map_back: true}
      compression: {level: 3}
      buffering: {response: 2KB}
      limits: {body: 1MB}
      load_balancer: {algorithm: maglev, hash_key: "header:X-User"}
      error_pages: {}
  transform:
    add_prefix: /x
    strip_prefix: /y
    request_headers: [{action: set, name: X-A, value: "{client_ip}"}, {action: remove, name: X-B}]
  compression: {enabled: true, algorithms: [brotli, gzip, br], types: text/html, min_size: 10}
  buffering: {request: 1KB, response: 1KB, total: 1MB}
  host: backend
  normalize: forward
  limits: {body: 5}
"""
    listener = listener_of(text, more)
    http, (route,) = listener.http, listener.http.routes
    changes = (HeaderChange("set", "X-A", "{client_ip}"), HeaderChange("remove", "X-B"))
    assert http.transform == Transform(changes, add_prefix="/x", strip_prefix="/y")
    assert route.transform == Transform(changes, (), "/v1", "/x", (Rewrite("^/a(.*)", "/b$1"),), True)
    assert http.compression == Compression(True, ("br", "gzip"), ("text/html",), 10)
    assert route.compression == Compression(True, ("br", "gzip"), ("text/html",), 10, 3)
    assert http.buffering == Buffering(1024, 1024, 1024**2)
    assert route.buffering == Buffering(1024, 2048, 1024**2)
    assert (http.host, http.normalize, http.limits.body_bytes) == ("backend", "forward", 5)
    assert (route.host, route.body_bytes) == ("backend", 1024**2)
    assert (route.algorithm, route.hash_key) == ("maglev", HashKey("header", "X-User"))


def test_buffering_of_a_pool_is_between_the_listeners_and_the_routes() -> None:
    pools = "pools: {a: {backends: [{address: a:1}], buffering: {request: 2KB, response: 2KB}}}\n"
    text = LISTEN + pools + "http: {buffering: {request: 1KB, response: 1KB}, routes: [{buffering: {request: 3KB}}]}"
    config = config_of(text)
    assert config.pool("a").buffering == Buffering(2048, 2048)
    assert config.listeners[0].http.routes[0].buffering == Buffering(3072, 2048)


def test_error_pages_of_a_route_are_over_the_listeners(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    text = LISTEN + POOLS + "http: {error_pages: {502: one, 503: two}, routes: [{error_pages: {503: three, 404: one}}]}"
    (listener,) = load_text(text, str(tmp_path / "f.yaml"), {}).config.listeners
    assert listener.http.error_pages == ((502, "one"), (503, "two"))
    assert listener.http.routes[0].error_pages == ((502, "one"), (503, "three"), (404, "one"))


def test_policies() -> None:
    text = """\
    - policy:
        canary:
          {pool: b, percent: 10.5, header: {name: X-Beta, value: {prefix: y}}, cookie: beta, sticky: false,
           key: "header:X-User", salt: s}
        mirror: {pool: b, percent: 5, unsafe_methods: true}
        fault:
          {abort_percent: 1, abort_status: 500, delay_percent: 2, delay: 2s, header: X-Fault,
           until: 2026-12-01T18:00:00+01:00}
        regions: {header: X-Region, cidrs: {eu: 10.0.0.0/8, us: [192.0.2.0/24]}, fallback: {eu: [us, asia], "*": eu}}
        rules:
          - {when: {subject: path, prefix: /admin}, action: deny, status: 404}
          - name: n
            when: {any: [{subject: "header:X-A", exists: true}, {not: {subject: host, in: [A.example, "b"]}}]}
            action: route
            pool: b
          - {when: {not: [{subject: client_ip, cidr: 10.0.0.0/8}]}, action: redirect, redirect: {to: /x}, priority: 2}
          - {when: {subject: method, equals: get}, action: allow}
"""
    (route,) = listener_of(text).http.routes
    in_net = Condition("cidr", "client_ip", value=("10.0.0.0/8",))
    hosts = Condition("in", "host", value=("a.example", "b"))
    assert route.policy == TrafficPolicy(
        canary=Canary(
            "b", 10.5, ValueMatch("x-beta", "prefix", "y"), ValueMatch("beta", "present"), False, "header:X-User", "s"
        ),
        mirror=Mirror("b", 5.0, True),
        fault=Fault(1.0, 500, 2.0, 2.0, ValueMatch("x-fault", "present"), 1796144400.0),
        regions=Regions(
            "x-region",
            (("eu", (ipaddress.ip_network("10.0.0.0/8"),)), ("us", (ipaddress.ip_network("192.0.2.0/24"),))),
            "",
            (("eu", ("us", "asia")), ("*", ("eu",))),
        ),
        rules=(
            Rule(Condition("prefix", "path", value="/admin"), "deny", name="rules[0]", status=404),
            Rule(
                Condition(
                    "any",
                    conditions=(Condition("exists", "header", "x-a", True), Condition("not", conditions=(hosts,))),
                ),
                "route",
                name="n",
                pool="b",
            ),
            Rule(Condition("not", conditions=(in_net,)), "redirect", 2, "rules[2]", redirect=Redirect("/x")),
            Rule(Condition("equals", "method", value="GET"), "allow", name="rules[3]"),
        ),
    )
    assert [use.pool for use in route.uses] == ["a", "b"]


def test_a_switch_and_a_fault_that_ends_after_a_while() -> None:
    route = route_of("{policy: {blue_green: {blue: a, green: b, active: green, header: X-Side}, fault: {until: 10m}}}")
    assert route.policy.blue_green == BlueGreen("a", "b", "green", "x-side")
    assert route.policy.fault == Fault(until_s=600.0, is_until_relative=True)


def test_the_file_of_a_database_is_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[1] / "countries.mmdb", tmp_path / "c.mmdb")
    text = LISTEN + POOLS + "http: {routes: [{policy: {regions: {geoip_db: c.mmdb}}}]}"
    (listener,) = load_text(text, str(tmp_path / "f.yaml"), {}).config.listeners
    regions = listener.http.routes[0].policy.regions
    assert regions is not None
    assert regions.geoip_db == str(tmp_path / "c.mmdb")
    (tmp_path / "new").write_bytes((tmp_path / "c.mmdb").read_bytes())
    (tmp_path / "new").replace(tmp_path / "c.mmdb")  # a reload of the same text has something to change
    (again,) = load_text(text, str(tmp_path / "f.yaml"), {}).config.listeners
    assert again != listener
