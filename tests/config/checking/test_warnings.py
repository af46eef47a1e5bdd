"""Warnings about valid configurations: the exact messages."""

import pytest
from pem_files import self_signed

from balance.config import load_text

QUIET = """\
listen: ":8080"
backends:
  - {address: "127.0.0.1:9001"}
  - {address: "127.0.0.1:9002"}
health_check:
  enabled: true
"""
TCP = QUIET + "mode: tcp\n"


def warnings_of(text: str) -> list[str]:
    return [str(warning) for warning in load_text(text, "f.yaml", {}).warnings]


def test_a_plain_configuration_has_none() -> None:
    assert warnings_of(QUIET) == []
    assert warnings_of(TCP) == []


CASES = [
    (
        QUIET + "security: {connection_protection: {max_connection_rate: 5}}",
        "7:57: security.connection_protection.max_connection_rate: has no effect: connection_protection.enabled is false",
    ),
    (
        TCP + "security: {connection_protection: {enabled: true, min_body_rate: 240}}",
        "8:66: security.connection_protection.min_body_rate: has no effect: listener 'main' has mode tcp",
    ),
    (
        QUIET + "security: {connection_protection: {enabled: true, min_body_rate_grace: 5s}}",
        "7:72: security.connection_protection.min_body_rate_grace: has no effect: min_body_rate is 0",
    ),
    (
        TCP + "security: {connection_protection: {enabled: true, read_timeout: 5s}}",
        "8:65: security.connection_protection.read_timeout: has no effect: listener 'main' has mode tcp",
    ),
    (
        QUIET + "queue: {size: 5}",
        "7:8: queue: has no effect: no backend of the pool has max_connections",
    ),
    (
        QUIET + "session_affinity: {mode: cookie}",
        "7:19: session_affinity: is given but not enabled; write enabled: true",
    ),
    (
        QUIET + "session_affinity: {enabled: true}",
        "7:19: session_affinity: without secret, clients lose their sessions when it is stopped and started, and where a "
        "second balancer answers",
    ),
    (
        QUIET + "session_affinity: {enabled: true, secret: x, ttl: 5m}",
        "7:51: session_affinity.ttl: has no effect in mode cookie; cookie.ttl says how long a cookie lasts",
    ),
    (
        QUIET + "session_affinity: {enabled: true, mode: source-ip, header: X-A}",
        "7:60: session_affinity.header: has no effect in mode source-ip",
    ),
    (
        QUIET + "session_affinity: {enabled: true, mode: source-ip, secret: x}",
        "7:60: session_affinity.secret: has no effect in mode source-ip",
    ),
    (
        QUIET + "session_affinity: {enabled: true, secret: x, cookie: {same_site: none}}",
        "7:66: session_affinity.cookie.same_site: none makes the cookie Secure, and browsers keep such a one only where they "
        "came over TLS; nobody in security.trusted_proxies can have taken that off",
    ),
    (
        QUIET + "http: {keepalive: {idle_timeout: 1m}}",
        "7:34: http.keepalive.idle_timeout: 1m is longer than many backends keep a connection (uvicorn and Node: 5s): "
        "requests meet connections that just closed; auto learns each backend's time",
    ),
    (
        QUIET + "  interval: 3s",
        "7:13: health_check.interval: a timeout of 3s (the default) is not shorter than an interval of 3s: "
        "checks of one backend would overlap",
    ),
    (
        QUIET + "  timeout: 10s",
        "7:12: health_check.timeout: a timeout of 10s is not shorter than an interval of 10s (the default): "
        "checks of one backend would overlap",
    ),
    (
        QUIET + "timeouts: {client_header: 2m}",
        "7:27: timeouts.client_header: client_header, 2m, is not shorter than keepalive, 1m15s: a slow head "
        "holds a connection longer than an idle client may",
    ),
    (
        QUIET + "timeouts: {client_header: 0}",
        "7:27: timeouts.client_header: 0 lets a client that never ends its head hold a connection for ever (slowloris)",
    ),
    (
        QUIET + "timeouts: {request: 2s}",
        "7:21: timeouts.request: request, 2s, is over before connect, 5s, can fail: no other backend is tried",
    ),
    (
        QUIET + "timeouts: {read: 1s}",
        "7:18: timeouts.read: read, 1s, is shorter than the health check's timeout, 3s: "
        "a backend too slow for requests counts as healthy",
    ),
    (
        QUIET + "security: {trusted_proxies: [10.0.0.0/8, 0.0.0.0/0]}",
        "7:42: security.trusted_proxies[1]: 0.0.0.0/0 is everybody: any client can claim any address",
    ),
    (
        QUIET.replace("9002", "9001"),
        "4:15: backends[1].address: 127.0.0.1:9001 is backends[0] too: it gets two shares",
    ),
    *(
        (
            QUIET.replace("127.0.0.1:9002", host) + admin,
            f"4:15: backends[1].address: {host} is this instance's own admin port: clients of this pool reach it from this "
            "machine",
        )
        for host, admin in (
            ("127.0.0.1:9090", ""),
            ("localhost:9090", ""),
            ("unix:/run/a.sock", 'admin: {listen: "unix:/run/a.sock"}'),
        )
    ),
    (
        QUIET.replace('"}', '", weight: 0}'),
        "3:3: backends: every backend has weight 0: whatever is new is answered 503",
    ),
    (
        QUIET.replace('  - {address: "127.0.0.1:9002"}\n', "") + "circuit_breaker: {enabled: true}",
        "6:18: circuit_breaker: keeps nothing from a lone backend: where nobody else is ready, it is asked all the same",
    ),
    (
        QUIET.replace('9002"', '9002", weight: 5'),
        "3:3: backends: round-robin looks at no weight but 0, and the weights differ; weighted-round-robin does",
    ),
    (
        QUIET + "admin: {listen: '0.0.0.0:9090', auth: {tokens: [{name: a, token: 0123456789abcdef0123}]}}",
        "7:17: admin.listen: 0.0.0.0:9090 is reached from elsewhere without admin.tls: whoever is between can read tokens",
    ),
    (
        QUIET + "admin: {enabled: false}",
        "7:18: admin.enabled: metrics are shown nowhere: admin is off and metrics has no listen",
    ),
    (
        QUIET + "logging: {output: /no/such/folder/x.log}",
        "7:19: logging.output: '/no/such/folder/x.log': there is no folder '/no/such/folder' on this machine",
    ),
    (
        QUIET.replace("enabled: true", "interval: 5s"),
        "6:3: health_check: is given but not enabled; write enabled: true",
    ),
    (QUIET + "  type: tcp\n  path: /x", "8:9: health_check.path: has no effect on a check of type tcp"),
    (
        QUIET + "load_balancer: {algorithm: adaptive, hash_key: path}",
        "7:48: load_balancer.hash_key: has no effect on adaptive; consistent-hash, maglev, bounded-load follow it",
    ),
    (
        QUIET + "load_balancer: {algorithm: source-ip, hash_key: path}",
        "7:49: load_balancer.hash_key: has no effect on source-ip, which hashes the client's address; "
        "consistent-hash and maglev follow it",
    ),
    (QUIET + "  type: grpc\n  path: /x", "8:9: health_check.path: has no effect on a check of type grpc"),
    (QUIET + "  service: x", "7:12: health_check.service: has no effect on a check of type tcp"),
    (
        QUIET + "  command: [no-such-program]",
        "7:13: health_check.command[0]: 'no-such-program' is no program that this machine can run; write its whole path",
    ),
    (QUIET + "circuit_breaker: {timeout: 10s}", "7:18: circuit_breaker: is given but not enabled; write enabled: true"),
    (
        QUIET + "  passive_checks: {enabled: true, max_ejection_percent: 49}",
        "7:57: health_check.passive_checks.max_ejection_percent: nobody is ever ejected: 49 % of 2 is none",
    ),
    (
        QUIET.replace('  - {address: "127.0.0.1:9002"}\n', "") + "  passive_checks: {enabled: true}",
        "6:19: health_check.passive_checks: nobody is ever ejected: a lone backend stays",
    ),
    (
        QUIET.replace("enabled: true", "slow_start: 30s") + "  passive_checks: {enabled: false}",
        "6:15: health_check.slow_start: has no effect: without checks and circuit_breaker no backend ever comes back",
    ),
    (
        QUIET + "retry: {enabled: true, backoff_base: 10s}",
        "7:38: retry.backoff_base: backoff_base, 10s, is longer than backoff_max, 5s: every wait is backoff_max",
    ),
    (
        QUIET + "retry: {max_attempts: 3, per_try_timeout: 2s}\ntimeouts: {request: 5s}",
        "8:21: timeouts.request: request, 5s, is over before 3 tries of 2s (retry.per_try_timeout) can fail",
    ),
    (
        TCP + "retry: {enabled: true, max_attempts: 2, on: [connect, 503]}",
        "8:38: retry.max_attempts: has no effect on listener 'main': in mode tcp only enabled has, and connect in on",
    ),
    (
        TCP + "timeouts: {connect: 5000, idle: 30m, drain: 999}",
        "8:21: timeouts.connect: 5000 is 1h23m20s, for a bare number is seconds; write it with its unit",
    ),
    (
        "listeners: [{name: x, listen: ':1', pool: a}, {name: y, listen: ':2', pool: b}]\n"
        "session_affinity: {enabled: true, secret: s}\n"
        "pools: {a: {backends: [{address: 'h:1'}]}, b: {backends: [{address: 'h:2'}]}}\nadmin: {enabled: false}\n"
        "metrics: {enabled: false}",
        "2:19: session_affinity: the cookie 'LOAD-BALANCING_SESSION' is pool 'a''s too: on one host, whatever the port, each "
        "pool ends the other's sessions; give them names of their own",
    ),
    (TCP + "http: {via: true}", "8:7: http: has no effect: listener 'main' has mode tcp"),
    (
        TCP + "timeouts: {idle: 0}",
        "8:18: timeouts.idle: 0 keeps a session that nobody uses any more as long as both machines live; write a long time "
        "instead",
    ),
]


@pytest.mark.parametrize(("text", "message"), CASES)
def test_what_is_probably_not_meant_is_remarked_on(text: str, message: str) -> None:
    assert warnings_of(text) == [f"f.yaml:{message}"]


@pytest.mark.parametrize(
    "checks",
    ["health_check: {passive_checks: {enabled: true}, slow_start: 30s}", "circuit_breaker: {enabled: true}"],
)
def test_traffic_alone_may_be_what_is_looked_at(checks: str) -> None:
    assert warnings_of(QUIET[: QUIET.index("health_check")] + checks) == []


def test_more_workers_than_cpus() -> None:
    (message,) = warnings_of(QUIET + "workers: 1024")
    assert message.startswith("f.yaml:7:10: workers: 1024 is more than the ")


def test_a_pool_that_nobody_uses() -> None:
    text = (
        "listeners: [{listen: ':1', pool: a}]\npools:\n  a: {backends: [{address: x:1}]}\n  b: {backends: [{address: y:1}]}\n"
    )
    assert warnings_of(text) == ["f.yaml:4:6: pools.b: is used by no listener"]


def test_http_among_the_defaults_is_fine_when_one_listener_speaks_it() -> None:
    text = "listeners: [{listen: ':1', mode: tcp}, {listen: ':2'}]\nbackends: [{address: x:1}]\nhttp: {via: true}\n"
    assert warnings_of(text) == []


def test_a_hash_key_among_the_defaults_is_for_the_pools_that_hash() -> None:
    pools = "pools:\n  a: {backends: [{address: x:1}], load_balancer: {algorithm: maglev}}\n  b: {backends: [{address: y:1}]}\n"
    listeners = "listeners: [{listen: ':1', pool: a}, {listen: ':2', pool: b}]\n"
    assert warnings_of(listeners + pools + "load_balancer: {hash_key: path}\n") == []


def test_retries_among_the_defaults_are_for_the_pools_that_speak_http() -> None:
    listeners = "listeners: [{listen: ':1', pool: a}, {listen: ':2', pool: b, mode: tcp}]\n"
    pools = "pools: {a: {backends: [{address: x:1}]}, b: {backends: [{address: y:1}]}}\n"
    assert warnings_of(listeners + pools + "retry: {enabled: true, on: 503}\n") == []


def test_a_warning_about_shared_defaults_is_given_once() -> None:
    text = "listeners: [{listen: ':1'}, {listen: ':2'}]\nbackends: [{address: x:1}]\ntimeouts: {request: 1s}\n"
    assert len(warnings_of(text)) == 1


def test_nobody_knows_what_discovery_finds() -> None:
    found = "listen: ':8080'\nhealth_check: {enabled: true, passive_checks: {enabled: true, max_ejection_percent: 20}}\n"
    found += "circuit_breaker: {enabled: true}\nqueue: {size: 10}\ndiscovery: {file: {path: x.yaml}}\n"
    assert warnings_of(found) == []
    assert warnings_of(found + "backends: [{address: x:1, weight: 0}]\n") == []


def test_weights_of_srv_records_want_an_algorithm_that_looks_at_them() -> None:
    srv = "listen: ':8080'\nhealth_check: {enabled: true}\ndiscovery: {dns: {name: app.test, type: srv}}\n"
    assert "round-robin looks at no weight but 0, and SRV records have weights" in warnings_of(srv)[0]
    assert warnings_of(srv + "load_balancer: {algorithm: adaptive}\n") == []
    assert warnings_of(srv.replace("type: srv", "port: 80")) == []


def test_h2c_is_for_listeners_without_tls() -> None:
    pair = self_signed("a.example")
    tls = f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}}}\n"
    message = "has no effect: with TLS it is tls.alpn_protocols that offers HTTP/2, and does unless you say otherwise"
    assert f"f.yaml:8:13: http.h2c: {message}" in warnings_of(QUIET + tls + "http: {h2c: true}\n")
    assert not any("h2c" in each for each in warnings_of(QUIET + "http: {h2c: true}\n"))


def test_grpc_web_wants_backends_that_speak_http2() -> None:
    message = "calls go to backends as gRPC, which needs HTTP/2, and none has it: write protocol: h2c, h2 or auto"
    assert warnings_of(QUIET + "http: {grpc_web: true}\n") == [f"f.yaml:7:18: http.grpc_web: {message}"]
    assert warnings_of(QUIET + "http: {grpc_web: true}\nbackend_protocol: h2c\n") == []


def test_a_grace_is_for_connections_that_grow_old() -> None:
    found = warnings_of(QUIET + "http: {h2c: true, http2: {max_connection_age_grace: 1m}}\n")
    assert found == [
        "f.yaml:7:53: http.http2.max_connection_age_grace: has no effect: without max_connection_age no connection is old"
    ]
    assert warnings_of(QUIET + "http: {h2c: true, http2: {max_connection_age: 5m, max_connection_age_grace: 1m}}\n") == []


def test_bounds_of_http2_are_for_listeners_that_speak_it() -> None:
    bounds = "http: {http2: {flood_limit: 200}}\n"
    message = "has no effect: no listener speaks HTTP/2; write h2c: true beside it, or give the listener tls"
    assert warnings_of(QUIET + bounds) == [f"f.yaml:7:15: http.http2: {message}"]
    assert warnings_of(QUIET + bounds.replace("{http2", "{h2c: true, http2")) == []
    pair = self_signed("a.example")
    tls = f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}}}\n"
    assert not any("http2" in each for each in warnings_of(QUIET + tls + bounds))
    only_http1 = tls.replace("}", ", alpn_protocols: [http/1.1]}")
    assert any(message in each for each in warnings_of(QUIET + only_http1 + bounds))
