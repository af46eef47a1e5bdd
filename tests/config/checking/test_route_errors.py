"""Mistakes in routes: the exact messages, with their places."""

import sys
from pathlib import Path

import pytest

from balance.config import load_text
from balance.config.checking import route_errors
from balance.config.checking.pool_users import users_of
from balance.errors import ConfigError
from balance.stages import fault
from balance.stages.splitting import blue_green, canary, split

HEAD = (
    "listeners: [{name: l, listen: ':1', pool: a}]\npools: {a: {backends: [{address: a:1}]}, b: {backends: [{address: b:1}]}}\n"
)
NO_POOL = HEAD.replace(", pool: a", "")


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.yaml", {})
    return [str(problem).removeprefix("f.yaml:") for problem in caught.value.problems]


# (a route, where in it, what is said)
ROUTES = [
    ("{pool: c}", "pool", "'c' is not defined; pools: a, b"),
    ("{pool: aa}", "pool", "'aa' is not defined; pools: a, b; did you mean 'a'?"),
    ("{split: [{pool: a}, {pool: x}]}", "split[1].pool", "'x' is not defined; pools: a, b"),
    ("{split: []}", "split", "is empty; write at least one, or leave it out"),
    ("{backends: []}", "backends", "is empty; write at least one backend"),
    ("{policy: {canary: {pool: x}}}", "policy.canary.pool", "'x' is not defined; pools: a, b"),
    ("{policy: {canary: {pool: a}}}", "policy.canary.pool", "'a' is the route's own pool; a canary needs another"),
    ("{policy: {canary: {pool: b, percent: 101}}}", "policy.canary.percent", "expected a number from 0 to 100, got 101"),
    ("{policy: {canary: {}}}", "policy.canary", "'pool' is missing: The other pool"),
    (
        "{policy: {canary: {pool: b, key: path}}}",
        "policy.canary.key",
        "'path' is not one of cookie:NAME, header:NAME, client-ip",
    ),
    (
        "{policy: {canary: {pool: b, header: {name: X, value: {regex: '('}}}}}",
        "policy.canary.header.value.regex",
        "'(' is no regular expression: missing ): ( (RE2 syntax)",
    ),
    ("{policy: {blue_green: {blue: a, green: a}}}", "policy.blue_green.green", "'a' is blue, too; write two pools"),
    (
        "{pool: a, policy: {blue_green: {blue: a, green: b}}}",
        "pool",
        "stands beside policy.blue_green, which chooses the pool; leave pool out",
    ),
    ("{policy: {mirror: {pool: x}}}", "policy.mirror.pool", "'x' is not defined; pools: a, b"),
    (
        "{policy: {fault: {abort_percent: 5}}}",
        "policy.fault",
        "'until' is missing: When it ends: a time with its zone, like 2026-12-01T18:00:00Z, or a duration from the load of the "
        "file on, like 10m",
    ),
    (
        "{policy: {fault: {until: 2026-12-01T18:00:00}}}",
        "policy.fault.until",
        "'2026-12-01T18:00:00' has no time zone; write 2026-12-01T18:00:00Z for UTC",
    ),
    (
        "{policy: {fault: {until: tomorrow}}}",
        "policy.fault.until",
        "'tomorrow' is no time, like 2026-12-01T18:00:00Z, and no duration, like 10m",
    ),
    ("{policy: {fault: {until: 0}}}", "policy.fault.until", "0 is no time at all; write a duration like 10m"),
    ("{policy: {regions: {}}}", "policy.regions", "needs header, cidrs or geoip_db: nothing tells a client's region"),
    ("{policy: {regions: {geoip_db: x.mmdb}}}", "policy.regions.geoip_db", "x.mmdb can't be read: No such file or directory"),
    ("{policy: {rules: []}}", "policy.rules", "is empty; write at least one, or leave it out"),
    (
        "{pool: a, redirect: {to: /x}}",
        "redirect",
        "stands beside pool; a route has one of pool, backends, split, redirect, respond",
    ),
    ("{redirect: {}}", "redirect", "leads nowhere; write to, or at least one of scheme, host, path"),
    ("{redirect: {to: /x, host: h}}", "redirect.host", "stands beside to, which is the whole target; write one or the other"),
    (
        "{redirect: {to: x}}",
        "redirect.to",
        "'x' is no target; write a URL like https://example.org/new, or a path, without spaces",
    ),
    (
        "{redirect: {to: '/a b'}}",
        "redirect.to",
        "'/a b' is no target; write a URL like https://example.org/new, or a path, without spaces",
    ),
    (
        "{redirect: {to: /x, status: 200}}",
        "redirect.status",
        "200 is no status of a redirect; write one of 301, 302, 303, 307, 308",
    ),
    ("{respond: {status: 204, body: x}}", "respond.body", "a reply of status 204 has no body (RFC 9110)"),
    (
        "{redirect: {to: /x}, policy: {mirror: {pool: b}}}",
        "policy.mirror",
        "stands beside redirect: no request of this route goes to a backend",
    ),
    (
        "{respond: {}, policy: {rules: [{when: {subject: path, equals: /x}, action: route, pool: b}]}}",
        "policy.rules[0].action",
        "stands beside respond: no request of this route goes to a backend",
    ),
    ("{path: /a, path_prefix: /b}", "path_prefix", "stands beside path; a route has one of path, path_prefix, path_regex"),
    ("{path: a}", "path", "'a' is not a path; it begins with /"),
    (
        "{path_prefix: '/a?b=c'}",
        "path_prefix",
        "'/a?b=c': a path has no ? or #; conditions on the query are written query: {name: value}",
    ),
    ("{path: /%61}", "path", "'/%61' is compared decoded; write /a"),
    ("{path: /a//b}", "path", "'/a//b' has //, /. or /.., which requests are read without (http.normalize)"),
    ("{path: /a/../b}", "path", "'/a/../b' has //, /. or /.., which requests are read without (http.normalize)"),
    ("{path: /ü}", "path", "'/ü' is not as clients send it: without spaces, and other characters as %C3%BC"),
    (
        "{path_regex: '(?=a)'}",
        "path_regex",
        "'(?=a)' has look-around at character 1, which cannot be matched in linear time and is not supported (RE2 syntax)",
    ),
    (
        "{path_regex: '/a[z-b]'}",
        "path_regex",
        "'/a[z-b]' is no regular expression: invalid character class range: z-b at character 4 (RE2 syntax)",
    ),
    ("{host: 'a.*.b'}", "host", "'a.*.b': a * stands only at the beginning and before a dot, as in *.example.org"),
    ("{host: '*a.b'}", "host", "'*a.b': a * stands only at the beginning and before a dot, as in *.example.org"),
    ("{host: 'http://a'}", "host", "'http://a' is no host; write the name alone, like shop.example.org"),
    ("{host: 'a b'}", "host", "'a b' is no host, like shop.example.org, *.example.org, 192.0.2.1 or [2001:db8::1]"),
    (
        "{headers: {X-A: [a]}}",
        "headers.X-A",
        "expected a condition, got a list; write a text, or {present: true}, {present: false}, {regex: ...} or {prefix: ...}",
    ),
    (
        "{headers: {X-A: {suffix: a}}}",
        "headers.X-A",
        "suffix is no condition; write a text, or {present: true}, {present: false}, {regex: ...} or {prefix: ...}",
    ),
    ("{query: {a: {present: 1}}}", "query.a.present", "expected true or false, got 1"),
    ("{timeouts: {idle: 1s}}", "timeouts.idle", "unknown key here; it belongs to timeouts.idle or listeners[0].timeouts.idle"),
    ("{limits: {head: 1KB}}", "limits.head", "unknown key here; it belongs to http.limits.head"),
    (
        "{path_regex: ^/old/(.*), redirect: {to: /new/$2}}",
        "redirect.to",
        "'/new/$2': $2 is no group of '^/old/(.*)', which has 1 group",
    ),
    ("{redirect: {to: 'https://a@b/x'}}", "redirect.to", "'a@b' is no host; write the name alone, like shop.example.org"),
    (
        "{transform: {rewrite: [{regex: a, replacement: '/b#c'}]}}",
        "transform.rewrite[0].replacement",
        "'/b#c' is not what may stand in a path: no spaces, and no #",
    ),
    (
        "{transform: {request_headers: [{action: set, name: Expect, value: a}]}}",
        "transform.request_headers[0].name",
        "Expect belongs to one connection or frames a message, and can't be changed",
    ),
    (
        "{transform: {request_headers: [{action: set, name: Connection, value: a}]}}",
        "transform.request_headers[0].name",
        "Connection belongs to one connection or frames a message, and can't be changed",
    ),
    (
        "{transform: {response_headers: [{action: remove, name: proxy-authenticate}]}}",
        "transform.response_headers[0].name",
        "proxy-authenticate belongs to one connection or frames a message, and can't be changed",
    ),
    (
        "{transform: {request_headers: [{action: set, name: Host, value: a}]}}",
        "transform.request_headers[0].name",
        "Host is set by http.host: preserve, backend or a name",
    ),
    (
        "{transform: {request_headers: [{action: set, name: X-A, value: '{user}'}]}}",
        "transform.request_headers[0].value",
        "{user} is no variable; there are {client_ip}, {scheme}, {host}, {request_id}, {backend}, {region}",
    ),
    (
        '{transform: {request_headers: [{action: set, name: X-A, value: "a\\r\\nB: c"}]}}',
        "transform.request_headers[0].value",
        "the value has characters that may not stand in a header field (a line break, say)",
    ),
    (
        "{transform: {request_headers: [{action: set, name: X-A}]}}",
        "transform.request_headers[0]",
        "'value' is missing: what X-A is set to",
    ),
    (
        "{transform: {request_headers: [{action: remove, name: X-A, value: b}]}}",
        "transform.request_headers[0].value",
        "has no meaning beside action: remove",
    ),
    (
        "{transform: {rewrite: [{regex: '(a)', replacement: $2}]}}",
        "transform.rewrite[0].replacement",
        "'$2': $2 is no group of '(a)', which has 1 group",
    ),
    (
        "{respond: {headers: {Transfer-Encoding: chunked}}}",
        "respond.headers.Transfer-Encoding",
        "Transfer-Encoding belongs to one connection or frames a message, and can't be changed",
    ),
    (
        "{compression: {enabled: true, types: text}}",
        "compression.types",
        "'text' is not a media type, like text/html or text/*",
    ),
    ("{compression: {algorithms: [deflate]}}", "compression.algorithms[0]", "'deflate' is not one of zstd, br, gzip"),
    ("{buffering: {total: 1MB}}", "buffering.total", "unknown key here; it belongs to http.buffering.total"),
    ("{error_pages: {503: /nowhere}}", "error_pages.503", "'/nowhere' can't be used: No such file or directory"),
]


@pytest.mark.parametrize(("route", "where", "what"), ROUTES, ids=lambda value: value[:60])
def test_a_mistake_in_a_route_is_named_with_its_place(route: str, where: str, what: str) -> None:
    (problem,) = problems_of(HEAD + f"http:\n  routes:\n    - {route}\n")
    place, _, message = problem.partition(": ")
    assert place.startswith("5:")
    assert message == f"http.routes[0].{where}: {what}"


_IF = "{subject: path, equals: /}"
# (a rule, where in it, what is said)
RULES = [
    ("{action: deny}", "", "'when' is missing: "),
    (f"{{when: {_IF}}}", "", "'action' is missing: "),
    (f"{{when: {_IF}, action: block}}", ".action", "'block' is not one of allow, deny, redirect, route"),
    (f"{{when: {_IF}, action: route}}", "", "action route needs pool"),
    (f"{{when: {_IF}, action: redirect}}", "", "action redirect needs redirect"),
    (f"{{when: {_IF}, action: route, pool: x}}", ".pool", "'x' is not defined; pools: a, b"),
    (f"{{when: {_IF}, action: deny, pool: a}}", ".pool", "has no meaning beside action: deny"),
    (f"{{when: {_IF}, action: allow, retry_after: 1m}}", ".retry_after", "has no meaning beside action: allow"),
    (f"{{when: {_IF}, action: allow, status: 404}}", ".status", "has no meaning beside action: allow"),
    (
        "{when: path, action: deny}",
        ".when",
        "expected a condition like {subject: path, prefix: /admin} or {all: [...]}, got 'path'",
    ),
    ("{when: {equals: a}, action: deny}", ".when", "subject is missing: one of path, host, method, "),
    (
        "{when: {subject: path}, action: deny}",
        ".when",
        "a condition has one test, and there is none; write one of equals, in, ",
    ),
    (
        "{when: {subject: path, equals: a, in: [b]}, action: deny}",
        ".when",
        "a condition has one test, and equals and in are several",
    ),
    ("{when: {subject: path, like: a}, action: deny}", ".when", "'like' is no part of a condition; write subject and one of "),
    ("{when: {subject: user, equals: a}, action: deny}", ".when.subject", "'user' is not one of path, host, "),
    ("{when: {subject: 'header:', equals: a}, action: deny}", ".when.subject", "'' is not the name of a header field"),
    ("{when: {subject: path, exists: 1}, action: deny}", ".when.exists", "expected true or false, got 1"),
    ("{when: {subject: path, in: a}, action: deny}", ".when.in", "expected a list of texts, got 'a'"),
    (
        "{when: {subject: path, cidr: 10.0.0.0/8}, action: deny}",
        ".when.cidr",
        "only client_ip, or a header field with an address",
    ),
    (
        "{when: {subject: client_ip, cidr: 10.0.0.1/8}, action: deny}",
        ".when.cidr",
        "'10.0.0.1/8' has bits set beyond its prefix; write 10.0.0.0/8",
    ),
    ("{when: {all: []}, action: deny}", ".when.all", "expected a list of conditions, got an empty list"),
    ("{when: {all: [], any: []}, action: deny}", ".when", "all stands beside any; put both into a list below all or any"),
    (
        "{when: {any: [{not: {subject: path, regex: '('}}]}, action: deny}",
        ".when.any[0].not.regex",
        "'(' is no regular expression",
    ),
    ("{when: {all: [{subject: path, equals: a}, 3]}, action: deny}", ".when.all[1]", "expected a condition like "),
]


@pytest.mark.parametrize(("rule", "where", "what"), RULES, ids=lambda value: value[:60])
def test_a_mistake_in_a_rule_is_named_with_its_place(rule: str, where: str, what: str) -> None:
    (problem,) = problems_of(HEAD + f"http:\n  routes:\n    - policy:\n        rules:\n          - {rule}\n")
    assert problem.partition(": ")[2].startswith(f"http.routes[0].policy.rules[0]{where}: {what}")
    assert problem.startswith("7:")


def test_a_name_of_two_rules_or_of_a_policy_is_refused() -> None:
    """Policies leave what a rule has chosen by its name."""
    rules = f"""
          - {{name: x, when: {_IF}, action: allow}}
          - {{name: x, when: {_IF}, action: route, pool: b}}
          - {{name: "rules[3]", when: {_IF}, action: deny}}
          - {{when: {_IF}, action: deny}}
          - {{name: split, when: {_IF}, action: route, pool: b}}
"""
    problems = problems_of(HEAD + f"http:\n  routes:\n    - policy:\n        rules:{rules}")
    where = "http.routes[0].policy.rules"
    assert [problem.partition(": ")[2] for problem in problems] == [
        f"{where}[1].name: 'x' is the name of rules[0] too; names are unique",
        f"{where}[3]: 'rules[3]' is the name of rules[2] too; names are unique",
        f"{where}[4].name: 'split' is how logs call a policy; write another name",
    ]


def test_names_of_policies_are_those_that_stages_set() -> None:
    assert {blue_green.RULE, blue_green.PICKED, canary.RULE, fault.RULE, split.RULE} == route_errors.POLICY_NAMES


def test_conditions_nested_without_end_are_refused() -> None:
    when = "{not: " * 22 + _IF + "}" * 22
    (problem,) = problems_of(HEAD + f"http: {{routes: [{{policy: {{rules: [{{when: {when}, action: deny}}]}}}}]}}")
    assert problem.endswith("conditions are nested deeper than 20")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            HEAD + "http: {routes: [{name: x}, {name: x, path: /a}]}",
            "3:35: http.routes[1].name: 'x' is the name of routes[0] too; names are unique",
        ),
        (
            NO_POOL + "http: {routes: [{name: x}]}",
            "3:17: http.routes[0]: says not where its requests go, and listener 'l' has no pool; write one of pool, backends, "
            "split, redirect, respond (pools: a, b)",
        ),
        (
            HEAD + "http: {routes: [{name: a, backends: [{address: c:1}]}]}",
            "3:37: http.routes[0].backends: are a pool that is called 'a' as the route, and there is such a pool; rename one",
        ),
        (
            "mode: tcp\n" + HEAD + "http: {routes: [{}]}",
            "4:16: http.routes: need requests, and every listener has mode tcp; write mode: http",
        ),
        (
            "mode: tcp\n" + HEAD.replace("pool: a}", "pool: a, http: {routes: [{}]}}"),
            "2:61: listeners[0].http.routes: need requests, and listener 'l' has mode tcp; write mode: http",
        ),
        (
            HEAD + "http: {routes: [{name: r, backends: [{address: '127.0.0.1:1'}]}]}",
            "3:48: http.routes[0].backends[0].address: '127.0.0.1:1' is the listener 'l' itself: a loop",
        ),
        (
            "listeners: [{name: l, listen: ':1', pool: a}]\n"
            "pools: {a: {backends: [{address: a:1}]}, b: {backends: [{address: '127.0.0.1:1'}]}}\n"
            "http: {routes: [{pool: b}]}",
            "2:67: pools.b.backends[0].address: '127.0.0.1:1' is the listener 'l' itself: a loop",
        ),
        (
            "listeners: [{name: h, listen: ':1'}, {name: t, listen: ':2', mode: tcp, pool: b}]\n"
            "pools: {a: {backends: [{address: a:1}]}, b: {backends: [{address: b:1}], load_balancer: {algorithm: maglev, "
            "hash_key: path}}}\nhttp: {routes: [{pool: b}]}",
            "2:119: pools.b.load_balancer.hash_key: 'path' is read in requests, and listener 't' has mode tcp; there, write "
            "source-ip",
        ),
        (
            "listeners: [{name: g, listen: ':1', pool: a}, {name: h, listen: ':2', pool: b, http: {keepalive: {idle_timeout: "
            "9s}, routes: [{pool: a}]}}]\npools: {a: {backends: [{address: a:1}]}, b: {backends: [{address: b:1}]}}",
            "1:113: listeners[1].http.keepalive.idle_timeout: listeners 'g' and 'h' share a pool's idle connections; write the "
            "same for both",
        ),
        (
            HEAD + "http: {transform: {request_headers: [{action: add, name: X-A}]}}",
            "3:38: http.transform.request_headers[0]: 'value' is missing: what X-A is added with",
        ),
        (HEAD + "policy: {}", "3:1: policy: unknown key here; it belongs to http.routes[0].policy"),
        (
            HEAD + "compression: {}",
            "3:1: compression: unknown key here; it belongs to http.compression or http.routes[0].compression",
        ),
    ],
)
def test_mistakes_among_routes_listeners_and_pools(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_what_needs_a_library_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_errors, "find_spec", lambda name: None)
    compression = "http: {compression: {enabled: true, algorithms: [br, gzip]}}"
    assert problems_of(HEAD + compression) == [
        "3:49: http.compression.algorithms: br needs a library: pip install 'balance[compression]'; gzip needs none"
    ]
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    database = Path(__file__).parents[2] / "countries.mmdb"
    regions = "http: {routes: [{policy: {regions: {geoip_db: %s}}}]}" % database  # noqa: UP031
    assert problems_of(HEAD + regions)[0].endswith("countries.mmdb needs a library to be read: pip install 'balance[geo]'")


def test_two_listeners_may_share_a_pool_of_a_route() -> None:
    text = HEAD.replace("pool: a}]", "pool: a}, {name: m, listen: ':2', pool: b}]") + "http: {routes: [{pool: b}, {path: /a}]}"
    config = load_text(text, "f.yaml", {}).config
    assert {pool: [number for number, _ in users] for pool, users in users_of(config).items()} == {"a": [0], "b": [0, 1]}


REDIRECTING = """\
listeners:
  - {name: plain, listen: ':1', tls: {enabled: false, redirect_http: 443}}
  - {name: www, listen: ':2', pool: a}
pools: {a: {backends: [{address: a:1}]}, b: {backends: [{address: b:1}]}}
http: {routes: [{name: api, path_prefix: /api, pool: POOL}, {name: rest, pool: a}]}
"""


def test_routes_of_all_are_judged_beside_a_listener_that_sends_its_clients_to_https() -> None:
    load_text(REDIRECTING.replace("POOL", "b"), "f.yaml", {})
    said = problems_of(REDIRECTING.replace("POOL", "c"))
    assert said == ["5:54: http.routes[0].pool: 'c' is not defined; pools: a, b"]
