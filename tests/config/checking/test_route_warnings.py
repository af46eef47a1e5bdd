"""Warnings about routes: the exact messages."""

import pytest

from balance.config import load_text

HEAD = "listeners: [{name: l, listen: ':1', pool: a}]\npools: {a: {backends: [{address: a:1}]}}\n"


def warnings_of(text: str) -> list[str]:
    return [str(problem).removeprefix("f.yaml:") for problem in load_text(text, "f.yaml", {}).warnings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HEAD + "http: {routes: [{path: /a}, {name: x, path: /a}]}",
            ["3:29: http.routes[1]: is for the same requests as route 'route-1' (routes[0]), which is tried before it"],
        ),
        (
            HEAD + "http: {routes: [{path: /a}, {name: x, priority: 1}]}",
            [
                "3:17: http.routes[0]: can never be reached: route 'x' (routes[1]) is tried before it and takes all that it is "
                "for"
            ],
        ),
        (
            HEAD.replace("pools: {", "pools: {b: {backends: [{address: b:1}]}, ") + "http: {routes: [{}]}",
            ["2:12: pools.b: is used by no listener, nor by a route"],
        ),
        (
            HEAD + "http: {routes: [{path_prefix: /a/*}, {path: /*}, {path: /b*}]}",
            [
                "3:31: http.routes[0].path_prefix: '/a/*': a * stands for itself here; /a and all below it is path_prefix: /a",
                "3:45: http.routes[1].path: '/*': a * stands for itself here; / and all below it is path_prefix: /",
            ],
        ),
        (
            HEAD + "http: {routes: [{split: [{pool: a, weight: 0}]}]}",
            ["3:25: http.routes[0].split: every pool has weight 0: its requests are answered 503"],
        ),
        (
            HEAD + "http: {routes: [{pool: a}, {path: /a, redirect: {to: /b}, timeouts: {read: 1s}, retry: {enabled: false}}]}",
            [
                "3:69: http.routes[1].timeouts: has no effect: no request of this route goes to a backend",
                "3:88: http.routes[1].retry: has no effect: no request of this route goes to a backend",
            ],
        ),
        (
            HEAD + "http: {routes: [{load_balancer: {hash_key: path}}]}",
            [
                "3:44: http.routes[0].load_balancer.hash_key: has no effect on round-robin; consistent-hash, maglev, "
                "bounded-load follow it"
            ],
        ),
        (
            HEAD.replace("pools: {", "pools: {b: {backends: [{address: b:1}]}, ")
            + "http: {routes: [{policy: {canary: {pool: b}, mirror: {pool: b, percent: 0}}}]}",
            [
                "3:35: http.routes[0].policy.canary: gets nobody: percent is 0, and neither header nor cookie leads there",
                "3:54: http.routes[0].policy.mirror: gets no copies: percent is 0",
            ],
        ),
        (
            HEAD + "http: {routes: [{compression: {enabled: true, types: []}, transform: {map_back: true}}]}",
            [
                "3:54: http.routes[0].compression.types: is empty: nothing is compressed",
                "3:81: http.routes[0].transform.map_back: has no effect: neither strip_prefix, add_prefix nor host changes "
                "anything",
            ],
        ),
        (
            HEAD + "http: {transform: {map_back: true}, buffering: {request: 2MB, total: 1MB}}",
            [
                "3:30: http.transform.map_back: has no effect: neither strip_prefix, add_prefix nor host changes anything",
                "3:58: http.buffering.request: is more than total: a body of that size is never taken whole",
            ],
        ),
        (
            HEAD + "security: {cors: {allow_origins: '*'}}\nhttp: {routes: [{security: {headers: {hsts_max_age: 1h}}}]}",
            [
                "3:18: security.cors: is given but not enabled; write enabled: true",
                "4:38: http.routes[0].security.headers: is given but not enabled; write enabled: true",
            ],
        ),
        (HEAD + "http: {host: backend, transform: {map_back: true}}", []),
        (
            HEAD + "http: {routes: [{compression: {level: 1}}]}",
            ["3:31: http.routes[0].compression: is given but not enabled; write enabled: true"],
        ),
        (
            HEAD + "http: {compression: {enabled: true}, routes: [{compression: {level: 1}}]}",
            [],
        ),
        (
            HEAD + "http: {compression: {types: text/css}}",
            ["3:21: http.compression: is given but not enabled; write enabled: true"],
        ),
        (
            HEAD + "http: {routes: [{policy: {fault: {until: 1m}}}]}",
            ["3:34: http.routes[0].policy.fault: injects nothing: abort_percent and delay_percent are 0"],
        ),
        (
            HEAD + "http: {routes: [{policy: {fault: {until: 1m, delay_percent: 5, header: X-F}}}]}",
            [
                "3:61: http.routes[0].policy.fault.delay_percent: delays by nothing: delay is 0",
                "3:72: http.routes[0].policy.fault.header: is believed from security.trusted_proxies only, and there are none: "
                "no fault is injected",
            ],
        ),
        (
            HEAD + "http: {routes: [{policy: {fault: {until: 2020-01-01T01:00:00+01:00, abort_percent: 5}}}]}",
            ["3:42: http.routes[0].policy.fault.until: ended on 2020-01-01T00:00:00Z: no fault is injected"],
        ),
        (
            HEAD + "http: {routes: [{policy: {regions: {header: X-R}}}]}",
            [
                "3:45: http.routes[0].policy.regions.header: is believed from security.trusted_proxies only, and there are "
                "none: it has no effect"
            ],
        ),
        (HEAD + "http: {routes: [{host: a.example}, {host: '*.example'}, {path: /x}, {}]}", []),
    ],
)
def test_what_is_probably_not_meant(text: str, expected: list[str]) -> None:
    assert warnings_of(text) == expected


def test_routes_at_the_top_are_looked_at_once() -> None:
    listeners = "listeners: [{listen: ':1', pool: a}, {listen: ':2', pool: a}]\n"
    text = listeners + "pools: {a: {backends: [{address: a:1}]}}\nhttp: {routes: [{}, {}]}"
    assert len(warnings_of(text)) == 1
