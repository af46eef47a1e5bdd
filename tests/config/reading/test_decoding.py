"""Unknown keys and wrong values: the exact message for each mistake."""

import pytest

from balance.config import load_text
from balance.errors import ConfigError

WORKING = 'mode: http\nlisten: ":8080"\nbackends:\n  - address: 127.0.0.1:9001\n'
TCP = 'mode: tcp\nlisten: ":8080"\nbackends:\n  - address: 127.0.0.1:9001\n'


def problems_of(text: str) -> list[str]:
    try:
        load_text(text, "f.yaml", {})
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_the_text_that_the_cases_add_to_is_right() -> None:
    assert problems_of(WORKING) == []
    assert problems_of(TCP) == []


# Text that is added to the valid configuration of four lines, and the message about it.
ADDED = [
    # keys
    ("    wieght: 2", "5:5: backends[0].wieght: unknown key; did you mean 'weight'?"),
    ("    maxConnections: 2", "5:5: backends[0].maxConnections: unknown key; did you mean 'max_connections'?"),
    (
        "    zzz: 2",
        "5:5: backends[0].zzz: unknown key; allowed: name, address, weight, max_connections, protocol, backup, region, "
        "metadata",
    ),
    ("    max_connections: -1", "5:22: backends[0].max_connections: -1 is not in 0..1000000000"),
    ("session_affinity: {mode: memcached}", "5:26: session_affinity.mode: 'memcached' is not one of cookie, source-ip, "),
    ("redis: {url: 'localhost:6379'}", "5:14: redis.url: it is no URL; write redis://[user:password@]host[:port][/db], "),
    ("redis: {on_failure: retry}", "5:21: redis.on_failure: 'retry' is not one of local, deny"),
    ("redis: {timeout: 0}", "5:18: redis.timeout: 0 is no time at all"),
    ("session_affinity: {header: a b}", "5:28: session_affinity.header: 'a b' is not the name of a header field"),
    ("session_affinity: {header: X-Real-IP}", "5:28: session_affinity.header: 'X-Real-IP' is what anybody may claim; "),
    ("session_affinity: {header: 5}", "5:28: session_affinity.header: expected the name of a header field"),
    ("session_affinity: {cookie: {secure: maybe}}", "5:37: session_affinity.cookie.secure: expected true, false or auto"),
    ("session_affinity: {cookie: {name: 'a;b'}}", "5:35: session_affinity.cookie.name: 'a;b' is not the name of a cookie"),
    ("session_affinity: {cookie: {path: '/;x'}}", "5:35: session_affinity.cookie.path: '/;x' is not a path without spaces"),
    ("session_affinity: {redis: {}}", "5:20: session_affinity.redis: unknown key"),
    ("queue: {timeout: 0}", "5:18: queue.timeout: 0 is no time at all"),
    ("    port: 80", '5:5: backends[0].port: unknown key; write address: "127.0.0.1:9001"'),
    ("http2: {flood_limit: 200}", "5:1: http2: unknown key; write it below http: http: {http2: ...}"),
    ("http: {http2: true}", "5:15: http.http2: expected keys below it, as {max_concurrent_streams: 100}, got true"),
    (
        "backend_protocol: http2",
        "5:19: backend_protocol: 'http2' is not one of http1, h2, h2c, auto; did you mean 'h2' with TLS, 'h2c' without?",
    ),
    ("backend_protocol: htp1", "5:19: backend_protocol: 'htp1' is not one of http1, h2, h2c, auto; did you mean 'http1'?"),
    ("algorithm: round-robin", "5:1: algorithm: unknown key here; it belongs to load_balancer.algorithm"),
    ("loadBalancer: {}", "5:1: loadBalancer: unknown key; did you mean 'load_balancer'?"),
    ("timeout: {connect: 1s}", "5:1: timeout: unknown key; did you mean 'timeouts'?"),
    ("http: {limits: {hed: 1KB}}", "5:17: http.limits.hed: unknown key; did you mean 'head'?"),
    # timeouts at the wrong place or under another program's name
    ("http: {read_timeout: 5s}", "5:8: http.read_timeout: unknown key; did you mean 'timeouts.read'?"),
    ("connect_timeout: 5s", "5:1: connect_timeout: unknown key; did you mean 'timeouts.connect'?"),
    ("timeout_connect: 5s", "5:1: timeout_connect: unknown key; did you mean 'timeouts.connect'?"),
    ("timeout connect: 5s", "5:1: timeout connect: unknown key; did you mean 'timeouts.connect'?"),
    ("proxy_read_timeout: 5s", "5:1: proxy_read_timeout: unknown key; did you mean 'timeouts.read'?"),
    ("readTimeout: 5s", "5:1: readTimeout: unknown key; did you mean 'timeouts.read'?"),
    ("timeouts: {read_timeout: 5s}", "5:12: timeouts.read_timeout: unknown key; did you mean 'timeouts.read'?"),
    ("    connect_timeout: 5s", "5:5: backends[0].connect_timeout: unknown key; did you mean 'timeouts.connect'?"),
    ("retry: {connect_timeout: 5s}", "5:9: retry.connect_timeout: unknown key; did you mean 'timeouts.connect'?"),
    (
        "idle_timeout: 5s",
        "5:1: idle_timeout: unknown key; did you mean 'timeouts.idle' or 'http.keepalive.idle_timeout'?",
    ),
    ("health_check: {read_timeout: 5s}", "5:16: health_check.read_timeout: unknown key; did you mean 'timeout'?"),
    ("http: {per_try_timeout: 5s}", "5:8: http.per_try_timeout: unknown key; "),
    ("rate_limit: {scope: us}", "5:21: rate_limit.scope: 'us' is not one of local, redis"),
    # values
    ("    weight: -1", "5:13: backends[0].weight: -1 is not in 0..65535"),
    ("    weight: 70000", "5:13: backends[0].weight: 70000 is not in 0..65535"),
    ("    weight: '2'", "5:13: backends[0].weight: expected a whole number in 0..65535, got '2'"),
    ("    weight: 1.5", "5:13: backends[0].weight: expected a whole number in 0..65535, got 1.5"),
    ("    weight: true", "5:13: backends[0].weight: expected a whole number in 0..65535, got true"),
    ("    weight:", "5:12: backends[0].weight: expected a whole number in 0..65535, got nothing"),
    ("    name: true", '5:11: backends[0].name: expected text, got true; put it in quotes: "true"'),
    ("    name: a b", "5:11: backends[0].name: 'a b' is not a name; write up to 100 characters without spaces or slashes"),
    ("    metadata: {v: 1.10}", '5:19: backends[0].metadata.v: expected text, got 1.1; put it in quotes: "1.1"'),
    ("  - 127.0.0.1:9002", "5:5: backends[1]: expected keys below it, as {address: \"127.0.0.1:9001\"}, got '127.0.0.1:9002'"),
    ("  - name: b", "5:5: backends[1]: 'address' is missing: host:port, [v6]:port, unix:/path, http"),
    (
        "  - address: localhost",
        "5:14: backends[1].address: 'localhost' has no port; write host:port, :port, [v6]:port or unix:",
    ),
    ("  - address: ':80'", "5:14: backends[1].address: ':80' has no host; write host:port, [v6]:port or unix:/path"),
    ("  - address: a:0", "5:14: backends[1].address: 'a:0': port 0 is not in 1..65535"),
    ("  - address: a:70000", "5:14: backends[1].address: 'a:70000': port 70000 is not in 0..65535"),
    ("  - address: a:http", "5:14: backends[1].address: 'a:http': the port 'http' is not a number"),
    ("  - address: ::1:80", "5:14: backends[1].address: '::1:80': write an IPv6 address in brackets, like [::1]:8080"),
    (
        "  - address: https://a/x",
        "5:14: backends[1].address: 'https://a/x': a backend is an address only; write https://host:p",
    ),
    (
        "  - address: http://a/x",
        "5:14: backends[1].address: 'http://a/x': a backend is an address only; write http://host:port",
    ),
    ("  - address: ftp://a", "5:14: backends[1].address: 'ftp://a': the scheme 'ftp' is not known; write host:port or http://"),
    ("  - address: unix:x", "5:14: backends[1].address: 'unix:x' needs an absolute path, like unix:/run/app.sock"),
    (
        "http: {routes: [{redirect: 'https://a'}]}",
        "5:28: http.routes[0].redirect: expected keys below it, as {to: https://example.org/}, got 'https://a'",
    ),
    ("http: {compression: true}", "5:21: http.compression: expected keys below it, as {enabled: true}, got true"),
    (
        "security: {ip_blocklist: [192.0.2.1]}",
        "5:26: security.ip_blocklist: expected keys below it, as {blocked_ips: [192.0.2.1], blocked_cidrs: [198.51.100.0/24]}, "
        "got a list",
    ),
    ("timeouts: 5", "5:11: timeouts: expected keys below it, got 5"),
    ("timeouts:", "5:10: timeouts: expected keys below it, got nothing; write some or leave it out"),
    ("timeouts: {connect: 5x}", "5:21: timeouts.connect: '5x' is not a duration; write one like 500ms, 5s, 1m30s or 1h"),
    ("timeouts: {connect: -1}", "5:21: timeouts.connect: -1 is negative; a duration is like 500ms, 5s, 1m30s or 1h"),
    ("health_check: {enabled: yes}", "5:25: health_check.enabled: 'yes' is plain text in YAML 1.2; write true or false"),
    ("health_check: {enabled: 1}", "5:25: health_check.enabled: expected true or false, got 1"),
    ("health_check: {interval: 0}", "5:26: health_check.interval: 0 is no time at all; write a duration like 500ms or 5s"),
    (
        "health_check: {type: htp}",
        "5:22: health_check.type: 'htp' is not one of tcp, http, https, grpc, exec; did you mean 'http'?",
    ),
    ("health_check: {jitter: 2}", "5:24: health_check.jitter: expected a number from 0 to 1, got 2"),
    ("health_check: {path: health}", "5:22: health_check.path: 'health' is not a path; it begins with / and has no spaces"),
    ("health_check: {method: get it}", "5:24: health_check.method: 'get it' is not a method, like GET or HEAD"),
    ("health_check: {expected_status: 99}", "5:33: health_check.expected_status: 99 is not a status or range of statuses, "),
    ("health_check: {expected_status: [200, 3-2]}", "5:39: health_check.expected_status[1]: '3-2' is not a status or range"),
    ("health_check: {expected_status: 300-200}", "5:33: health_check.expected_status: '300-200' is not a status or range"),
    ("health_check: {headers: {a b: x}}", "5:26: health_check.headers.a b: 'a b' is not the name of a header field, like X-"),
    ('health_check: {headers: {A: "s\\nB: c"}}', "5:29: health_check.headers.A: the value has characters that may not stand"),
    ("http: {keepalive: {idle_timeout: never}}", "5:34: http.keepalive.idle_timeout: 'never' is not a duration; write one "),
    ("http: {limits: {head: 1B}}", "5:23: http.limits.head: '1B' is less than 256B"),
    ("http: {limits: {body: 10 MB}}", None),
    ("http: {error_pages: {200: x}}", "5:22: http.error_pages.200: '200' is not a status of an error, 400..599"),
    ("http: {forwarded: off}", "5:19: http.forwarded: 'off' is not one of xff, rfc7239, both, none"),
    ("http: {underscore_headers: true}", "5:28: http.underscore_headers: expected one of drop, pass, reject, got true; put"),
    ("security: {trusted_proxies: [10.0.0.1/8]}", "5:30: security.trusted_proxies[0]: '10.0.0.1/8' has bits set beyond its pr"),
    ("security: {trusted_proxies: [me]}", "5:30: security.trusted_proxies[0]: 'me' is not an address or network, like 10."),
    ("security: {trusted_proxies: 10.0.0.0/8}", "5:29: security.trusted_proxies: expected a list, each item after a '- ', got"),
    ("workers: 0", "5:10: workers: 0 is not in 1..1024"),
    ("workers: many", "5:10: workers: expected auto or a whole number in 1..1024, got 'many'"),
    ("logging: {level: loud}", "5:18: logging.level: 'loud' is not one of debug, info, warning, error"),
    ("admin: {listen: 9090}", '5:17: admin.listen: expected an address, got the number 9090; write ":9090" to listen on every'),
    ("load_balancer: {algorithm: round}", "5:28: load_balancer.algorithm: 'round' is not one of round-robin, weighted-"),
    ("listeners: {}", "5:12: listeners: expected a list, each item after a '- ', got a mapping"),
    ("pools: []", "5:8: pools: expected keys below it, got a list"),
]


@pytest.mark.parametrize(("added", "message"), ADDED)
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(added: str, message: str | None) -> None:
    found = [problem for problem in problems_of(WORKING + added + "\n") if "stands beside" not in problem]
    assert len(found) == (message is not None)
    if message is not None:
        assert found[0].startswith(f"f.yaml:{message}")


def test_a_secret_in_a_header_is_not_quoted() -> None:
    (problem,) = problems_of(WORKING + 'health_check: {headers: {Authorization: "Bearer hunter2\\n"}}\n')
    assert "hunter2" not in problem


def test_every_problem_is_found_in_one_run_in_the_order_of_the_file() -> None:
    text = """\
mode: htp
listen: ":8080"
backends:
  - name: a
    address: localhost
  - address: 127.0.0.1:9002
    wieght: 3
  - name: a
    address: 127.0.0.1:8080
timeouts: {connect: 5x}
admin: {auth: {basic: {}}}
"""
    assert problems_of(text) == [
        "f.yaml:1:7: mode: 'htp' is not one of tcp, http; did you mean 'http'?",
        "f.yaml:5:14: backends[0].address: 'localhost' has no port; write host:port, :port, [v6]:port or unix:/path",
        "f.yaml:7:5: backends[1].wieght: unknown key; did you mean 'weight'?",
        "f.yaml:8:11: backends[2].name: 'a' is the name of backends[0] too; names are unique",
        "f.yaml:9:14: backends[2].address: '127.0.0.1:8080' is the listener 'main' itself: a loop",
        "f.yaml:10:21: timeouts.connect: '5x' is not a duration; write one like 500ms, 5s, 1m30s or 1h",
        "f.yaml:11:16: admin.auth.basic: 'basic' is not available in this version",
    ]


def test_one_typo_is_one_problem() -> None:
    assert problems_of(WORKING.replace("listen", "lisen")) == ["f.yaml:2:1: lisen: unknown key; did you mean 'listen'?"]
    assert problems_of(WORKING.replace("address", "adress")) == [
        "f.yaml:4:5: backends[0].adress: unknown key; did you mean 'address'?"
    ]
    assert problems_of(WORKING.replace("127.0.0.1:9001", "${BACKEND}")) == [
        "f.yaml:4:14: backends[0].address: the variable BACKEND is not set; set it, or write ${BACKEND:-default}"
    ]


def test_a_pool_with_a_mistake_is_still_a_pool() -> None:
    text = 'listeners: [{listen: ":1", pool: a}]\npools: {a: 5, b: {backends: [{address: x}]}}\n'
    assert [problem.split(": ")[1] for problem in problems_of(text)] == ["pools.a", "pools.b.backends[0].address"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'[key]': 1\n", "f.yaml:5:1: [key]: unknown key; allowed: mode, "),
        ("health_check: {headers: {'[key]': x}}\n", "f.yaml:5:26: health_check.headers.[key]: '[key]' is not the name of a"),
    ],
)
def test_a_key_that_looks_like_a_part_of_a_report_is_a_key(text: str, message: str) -> None:
    (problem,) = problems_of(WORKING + text)
    assert problem.startswith(message)


def test_a_pool_needs_a_name_without_spaces() -> None:
    assert problems_of("listen: ':1'\npools: {a b: {backends: [{address: a:1}]}}\n") == [
        "f.yaml:2:9: pools.a b: 'a b' is not a name; write up to 100 characters without spaces or slashes"
    ]


def test_a_flood_of_problems_is_counted() -> None:
    found = problems_of(WORKING + "".join(f"zz{n}: 1\n" for n in range(600)))
    assert len(found) == 501
    assert "and 100 more problems" in found[0]
