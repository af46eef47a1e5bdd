"""The Config of a text: given keys and defaults merged key by key."""

import ipaddress

from balance.config import load_text
from balance.config.model import (
    AccessLog,
    AdminConfig,
    BackendConfig,
    Config,
    HashKey,
    HealthCheck,
    HttpConfig,
    Keepalive,
    Limits,
    ListenerConfig,
    LoggingConfig,
    MetricsConfig,
    PoolConfig,
    QueueConfig,
    ReplyHeaders,
    Retry,
    RetryBudget,
    SessionAffinity,
    SessionCookie,
    Timeouts,
)
from balance.model import Address, Mode


def config_of(text: str) -> Config:
    return load_text(text, "f.yaml", {}).config


def test_the_simple_form_is_a_listener_called_main_and_a_pool_called_default() -> None:
    assert config_of('listen: ":8080"\nbackends: [{address: "a:1"}, {name: x, address: "http://b"}]') == Config(
        listeners=(ListenerConfig("main", (Address("", 8080),), Mode.HTTP, "default"),),
        pools=(PoolConfig("default", (BackendConfig("backend-1", Address("a", 1)), BackendConfig("x", Address("b", 80)))),),
        source="f.yaml",
    )


def test_every_key_arrives() -> None:
    text = """\
mode: tcp
workers: 1
listeners:
  - {name: l, listen: ["127.0.0.1:1", "unix:/x"], mode: http, pool: p, timeouts: {request: 1m}, http: {via: true}}
pools:
  p:
    backends: [{name: b, address: "[::1]:2", weight: 7, metadata: {rack: 1}}]
    load_balancer: {algorithm: bounded_load, hash_key: "header:X-User"}
    health_check: {timeout: 500ms, headers: {X-A: b}}
    timeouts: {connect: 1s}
    retry: {enabled: true, max_attempts: 4, on: [503, reset, 503], budget: {ratio: 0.5}}
health_check:
  {enabled: true, type: http, interval: 7, timeout: 4s, jitter: 0, healthy_threshold: 4, unhealthy_threshold: 5, path: /p,
   method: HEAD, expected_status: [200, 300-399], expected_body: ok, host: h, port: 81}
timeouts: {connect: 2s, read: 3s, write: 4s, idle: 5s, half_closed: 6s, client_header: 6s, client_body: 7s, keepalive: 8s,
           tunnel: 9s, drain: 0}
retry: {max_attempts: 9, backoff_base: 1s, backoff_max: 2s, multiplier: 3, jitter: 0.5, per_try_timeout: 4s,
        budget: {min_per_second: 7}}
http:
  websocket: false
  keepalive: {max_idle_per_backend: 5, idle_timeout: 3s, max_requests: 9}
  underscore_headers: pass
  limits: {head: 16KB, line: 4KB, fields: 50, body: 1MB}
  forwarded: both
  request_id: false
  reply_headers: {request_id: false, backend: true}
security: {trusted_proxies: [10.0.0.0/8, "::1"]}
admin: {enabled: false, listen: "127.0.0.1:91"}
metrics: {enabled: true, listen: "127.0.0.1:92", path: /m}
logging: {level: WARN, format: json, output: stdout, access_log: {enabled: true, format: combined, output: stderr}}
shutdown: {delay: 0}
"""
    towards = {
        "read_s": 3.0,
        "write_s": 4.0,
        "idle_s": 5.0,
        "half_closed_s": 6.0,
        "client_header_s": 6.0,
        "client_body_s": 7.0,
        "keepalive_s": 8.0,
        "tunnel_s": 9.0,
    }
    http = HttpConfig(
        websocket=False,
        keepalive=Keepalive(5, 3.0, 9),
        underscore_headers="pass",
        limits=Limits(16384, 4096, 50, 1048576),
        forwarded="both",
        reply_headers=ReplyHeaders(request_id=False, backend=True),
        request_id=False,
        via=True,
    )
    check = HealthCheck(
        enabled=True,
        kind="http",
        interval_s=7.0,
        timeout_s=0.5,
        jitter=0.0,
        healthy_threshold=4,
        unhealthy_threshold=5,
        path="/p",
        method="HEAD",
        expected_status=((200, 200), (300, 399)),
        expected_body="ok",
        host="h",
        port=81,
        headers=(("X-A", "b"),),
    )
    assert config_of(text) == Config(
        listeners=(
            ListenerConfig(
                "l",
                (Address("127.0.0.1", 1), Address("", 0, "/x")),
                Mode.HTTP,
                "p",
                Timeouts(connect_s=1.0, request_s=60.0, **towards),  # in order: the pool's, the listener's, the top-level ones
                http,
            ),
        ),
        pools=(
            PoolConfig(
                "p",
                (BackendConfig("b", Address("::1", 2), 7, (("rack", "1"),)),),
                "bounded-load",
                check,
                hash_key=HashKey("header", "X-User"),
                retry=Retry(True, 4, 1.0, 2.0, 3.0, 0.5, (503, "reset"), 4.0, RetryBudget(0.5, 7)),
            ),
        ),
        workers=1,
        trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1")),
        admin=AdminConfig(False, Address("127.0.0.1", 91)),
        metrics=MetricsConfig(True, Address("127.0.0.1", 92), "/m"),
        logging=LoggingConfig("warning", "json", "stdout", AccessLog(True, "combined", "stderr")),
        drain_s=0.0,
        shutdown_delay_s=0.0,
        source="f.yaml",
    )


def test_nested_keys_override_each_other_one_by_one() -> None:
    (listener,) = config_of(
        "backends: [{address: a:1}]\n"
        "http: {limits: {head: 16KB, fields: 7}, via: true}\n"
        'listeners: [{listen: ":1", http: {limits: {fields: 9}}}]\n'
    ).listeners
    assert listener.http == HttpConfig(limits=Limits(head_bytes=16384, fields=9), via=True)


def test_a_check_is_of_type_http_when_it_has_what_only_http_has() -> None:
    start = "listen: ':1'\nbackends: [{address: a:1}]\nhealth_check: "
    kinds = {
        keys: config_of(start + keys).pools[0].health_check.kind for keys in ("{enabled: true}", "{path: /}", "{method: GET}")
    }
    assert kinds == {"{enabled: true}": "tcp", "{path: /}": "http", "{method: GET}": "http"}
    assert config_of(start + "{path: /, type: tcp}").pools[0].health_check.kind == "tcp"


def test_the_only_pool_need_not_be_named() -> None:
    assert config_of("listeners: [{listen: ':1'}]\npools: {p: {backends: [{address: a:1}]}}").listeners[0].pool == "p"


def test_checks_read_replies_as_the_listeners_of_their_pool_do() -> None:
    config = config_of(
        """
listeners:
  - {name: a, listen: ":1", pool: old, http: {strictness: tolerant}}
  - {name: b, listen: ":2", pool: new}
  - {name: c, listen: ":3", pool: raw, mode: tcp}
pools: {old: {backends: [{address: "h:1"}]}, new: {backends: [{address: "h:2"}]}, raw: {backends: [{address: "h:3"}]}}
"""
    )
    assert [pool.health_check.strictness for pool in config.pools] == ["tolerant", "strict", "strict"]


def test_auto_workers_are_at_least_one() -> None:
    assert config_of("listen: ':1'\nworkers: auto\nbackends: [{address: a:1}]").workers >= 1


def test_limits_queues_and_sessions_arrive_key_by_key() -> None:
    text = """\
listeners: [{listen: ":1", pool: p}, {listen: ":2", pool: q}]
pools:
  p:
    backends: [{address: "a:1", max_connections: 5}, {address: "b:1", backup: true}]
    queue: {size: 3}
    session_affinity: {cookie: {name: c, secure: false}, secret: s}
  q:
    backends: [{address: "a:1"}]
    session_affinity: {mode: header, header: X-A, ttl: 5s}
queue: {timeout: 9s}
session_affinity: {enabled: true, cookie: {ttl: 2m, path: /p, http_only: false, same_site: Strict}}
"""
    first, second = config_of(text).pools
    assert [(backend.max_connections, backend.backup) for backend in first.backends] == [(5, False), (0, True)]
    assert (first.queue, second.queue) == (QueueConfig(3, 9.0), QueueConfig(128, 9.0))
    cookie = SessionCookie("c", 120.0, "/p", False, False, "strict")
    assert first.affinity == SessionAffinity(True, "cookie", cookie, "", 3600.0, "s")
    assert second.affinity == SessionAffinity(True, "header", SessionCookie(*PLAIN_COOKIE), "X-A", 5.0)


PLAIN_COOKIE = ("LOAD-BALANCING_SESSION", 120.0, "/p", False, None, "strict")


def test_a_secret_is_in_no_dump() -> None:
    text = "listen: ':1'\nbackends: [{address: a:1}]\nsession_affinity: {enabled: true, secret: hush}"
    assert "hush" not in repr(config_of(text))
