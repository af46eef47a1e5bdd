"""Errors that concern several keys together: the exact messages."""

import pytest

from balance.config import load_text
from balance.errors import ConfigError

SIMPLE = 'listen: ":8080"\nbackends:\n  - {name: a, address: "127.0.0.1:9001"}\n'

CASES = [
    (
        "mode: http\nbackends: [{address: a:1}]",
        '1:1: listen: is missing; write listen: ":8080", or listeners: in the full form',
    ),
    ("listen: ':1'", '1:1: backends: is missing; write backends: [{address: "127.0.0.1:9001"}], or pools: in the full form'),
    ("listen: ':1'\nbackends: []", "2:11: backends: is empty; write at least one backend"),
    (
        "listen: ':1'\nbackends: [{address: a:1, backup: true}, {address: b:1, backup: true}]",
        "2:11: backends: are all backups; at least one must stand without backup: true",
    ),
    (
        SIMPLE + "session_affinity: {enabled: true, mode: header}",
        "4:41: session_affinity.mode: header needs the field's name, like header: X-Session",
    ),
    (
        "listeners: [{name: a, listen: ':1'}, {name: b, listen: ':2', http: {keepalive: {idle_timeout: 9s}}}]\n"
        "backends: [{address: h:1}]",
        "1:95: listeners[1].http.keepalive.idle_timeout: listeners 'a' and 'b' share a pool's idle connections; write "
        "the same for both",
    ),
    (
        "listeners: [{name: a, listen: ':1'}, {name: b, listen: ':2', http: {strictness: tolerant}}]\n"
        "backends: [{address: h:1}]",
        "1:81: listeners[1].http.strictness: listeners 'a' and 'b' share a pool's health checks, which read replies as they "
        "do; write the same for both",
    ),
    (
        SIMPLE + "session_affinity: {enabled: true, cookie: {same_site: none, secure: false}}",
        "4:69: session_affinity.cookie.secure: false and same_site: none don't go together: browsers drop such a cookie; "
        "write secure: auto or true, or same_site: lax",
    ),
    (
        "mode: tcp\n" + SIMPLE + "session_affinity: {enabled: true}",
        "5:19: session_affinity: cookie is read in requests, and listener 'main' has mode tcp; there, write source-ip",
    ),
    ("listen: []\nbackends: [{address: a:1}]", "1:9: listen: is empty; write at least one address"),
    ("listeners: []\nbackends: [{address: a:1}]", "1:12: listeners: is empty; write at least one listener"),
    ("listen: ':1'\npools: {}", "2:8: pools: is empty; write at least one pool"),
    (
        SIMPLE + "pools: {p: {backends: [{address: a:1}]}}",
        "2:1: backends: stands beside 'pools'; use 'backends' (simple form) or 'pools' (full form), not both",
    ),
    (
        SIMPLE + "listeners: [{listen: ':1', pool: default}]",
        "1:1: listen: stands beside 'listeners'; use 'listen' (simple form) or 'listeners' (full form), not both",
    ),
    (SIMPLE + "  - {name: a, address: b:1}", "4:12: backends[1].name: 'a' is the name of backends[0] too; names are unique"),
    (
        SIMPLE + "  - {address: b:1}\n  - {name: backend-2, address: c:1}",
        "5:12: backends[2].name: 'backend-2' is the name of backends[1] too; names are unique",
    ),
    (
        "listeners: [{name: x, listen: ':1'}, {name: x, listen: ':2'}]\nbackends: [{address: a:1}]",
        "1:45: listeners[1].name: 'x' is the name of listeners[0] too; names are unique",
    ),
    (
        "listeners: [{listen: ':1', pool: web}]\npools: {wbe: {backends: [{address: a:1}]}}",
        "1:34: listeners[0].pool: 'web' is not defined; pools: wbe; did you mean 'wbe'?",
    ),
    (
        "listen: ':1'\npools: {p: {backends: [{address: a:1}]}, q: {backends: [{address: a:1}]}}",
        "2:8: pools: are several (p, q), and nothing says which are for whom; write http.routes, "
        'or listeners: [{listen: ":8080", pool: p}] instead of listen',
    ),
    ("listen: ':1'\npools: {p: {}}", "2:12: pools.p: 'backends' is missing: write at least one, or discovery"),
    (
        SIMPLE + "  - {address: '127.0.0.1:8080'}",
        "4:15: backends[1].address: '127.0.0.1:8080' is the listener 'main' itself: a loop",
    ),
    (
        SIMPLE + "  - {address: 'localhost:8080'}",
        "4:15: backends[1].address: 'localhost:8080' is the listener 'main' itself: a loop",
    ),
    (
        "listen: [':8080', '127.0.0.1:8080']\nbackends: [{address: a:1}]",
        "1:19: listen[1]: 127.0.0.1:8080, like :8080, is taken by listener 'main'",
    ),
    (
        "listeners: [{listen: ':1'}, {listen: ':1'}]\nbackends: [{address: a:1}]",
        "1:38: listeners[1].listen: :1 is taken by listener 'listener-1'",
    ),
    (
        "listen: unix:/a\nlisteners: []\nbackends: [{address: a:1}]",
        "1:1: listen: stands beside 'listeners'; use 'listen' (simple form) or 'listeners' (full form), not both",
    ),
    (
        SIMPLE + "admin: {listen: '127.0.0.1:8080'}",
        "4:17: admin.listen: 127.0.0.1:8080, like :8080, is taken by listener 'main'",
    ),
    (
        SIMPLE + "metrics: {listen: '127.0.0.1:9090'}",
        "4:19: metrics.listen: 127.0.0.1:9090 is taken by admin; leave metrics.listen out to show metrics on the admin port",
    ),
    (
        SIMPLE + "http: {limits: {line: 64KB}}",
        "4:23: http.limits.line: a line of 65536 bytes does not fit into a head of 32768",
    ),
    (SIMPLE + "http: {limits: {head: 4KB}}", "4:23: http.limits.head: a line of 8192 bytes does not fit into a head of 4096"),
    (
        SIMPLE + "mode: tcp\nload_balancer: {algorithm: maglev, hash_key: path}",
        "5:46: load_balancer.hash_key: 'path' is read in requests, and listener 'main' has mode tcp; there, write source-ip",
    ),
    (
        "listeners: [{listen: ':1', mode: tcp, pool: p}, {listen: ':2', pool: p}]\n"
        "pools: {p: {backends: [{address: a:1}], load_balancer: {algorithm: bounded-load, hash_key: 'cookie:a'}}}",
        "2:92: pools.p.load_balancer.hash_key: 'cookie:a' is read in requests, and listener 'listener-1' has mode tcp; "
        "there, write source-ip",
    ),
    (
        SIMPLE + "health_check: {type: exec}",
        "4:22: health_check.type: exec needs a command, like command: [/usr/local/bin/check, --fast]",
    ),
    (
        SIMPLE + "metrics: {path: /status}",
        "4:17: metrics.path: '/status' on the admin port is the admin's own; choose another or set listen",
    ),
    (
        SIMPLE + "metrics: {listen: ':9091', path: /ready}",
        "4:34: metrics.path: '/ready' is where probes ask; choose another",
    ),
]


@pytest.mark.parametrize(("text", "message"), CASES)
def test_a_mistake_of_meaning_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.yaml", {})
    assert f"f.yaml:{message}" in str(caught.value).splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "listen: ['0.0.0.0:80', '[::]:80']\nbackends: [{address: a:1}]",  # two families, as nginx has them
        "listen: ['127.0.0.1:0', '127.0.0.1:0']\nbackends: [{address: a:1}]",  # any free port, twice
        "listen: '10.0.0.1:8080'\nbackends: [{address: '127.0.0.1:8080'}]",
        "listen: ':8080'\nbackends: [{address: '10.0.0.1:8080'}]",
        "listen: unix:/a\nbackends: [{address: unix:/b}]",
        SIMPLE + "admin: {enabled: false, listen: ':8080'}",
        SIMPLE + "mode: tcp\nload_balancer: {algorithm: consistent-hash, hash_key: source-ip}",
        SIMPLE + "mode: tcp\nload_balancer: {algorithm: adaptive, hash_key: path}",  # a warning
        "listeners: [{listen: ':1', pool: p}]\n"
        "pools: {p: {backends: [{name: a, address: a:1}]}, q: {backends: [{name: a, address: a:1}]}}",
    ],
)
def test_what_only_looks_like_a_mistake_is_allowed(text: str) -> None:
    load_text(text, "f.yaml", {})
