"""Mistakes in `security`: the exact messages, with their places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from balance.config import load_text
from balance.config.overrides.difference import difference
from balance.config.overrides.redacted import redacted
from balance.config.overrides.value_format import redact
from balance.errors import ConfigError

HEAD = "listen: ':1'\nbackends: [{address: 'a:1'}]\n"
ROUTES = HEAD + "http: {routes: [{name: r, security: %s}]}\n"
TCP = "listeners: [{name: l, listen: ':1', mode: tcp, security: %s}]\npools: {a: {backends: [{address: 'a:1'}]}}\n"


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f.yaml", {})
    return [str(problem).removeprefix("f.yaml:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("security", "where", "what"),
    [
        (
            "{cors: {enabled: true, allow_origins: '*', allow_credentials: true}}",
            "cors.allow_credentials",
            "stands beside the origin *: any page could read what a user sees; list the origins",
        ),
        ("{cors: {allow_origins: 'null'}}", "cors.allow_origins", "'null' is not an origin; write"),
        ("{cors: {allow_origin_regex: '('}}", "cors.allow_origin_regex", "'(' is no regular expression"),
        ("{cors: {allow_methods: '*'}}", "cors.allow_methods", "'*' is no method here"),
        ("{cors: {allow_headers: 'X Y'}}", "cors.allow_headers", "'X Y' is not the name of a header field"),
        ("{headers: {enabled: true, hsts_preload: true}}", "headers.hsts_preload", "has no effect without hsts_max_age"),
        ("{headers: {content_security_policy: 'a\\u000db'}}", "headers.content_security_policy", "the value has characters"),
    ],
)
def test_a_mistake_is_told_once_where_it_is(security: str, where: str, what: str) -> None:
    if "\\u" in security:
        security = security.replace("'", '"')
    for text, path in ((ROUTES, f"http.routes[0].security.{where}"), (HEAD + "security: %s\n", f"security.{where}")):
        (problem,) = problems_of(text % security)
        assert f" {path}: {what}" in problem


@pytest.mark.parametrize("key", ["ip_allowlist", "ip_blocklist"])
def test_what_a_route_cannot_say_is_refused_by_name(key: str) -> None:
    (problem,) = problems_of(ROUTES % f"{{{key}: []}}")
    assert f"http.routes[0].security.{key}" in problem
    assert "not available in this version" in problem


def test_tcp_has_no_requests() -> None:
    (problem,) = problems_of(TCP % "{cors: {enabled: true}}")
    assert "listeners[0].security.cors: needs requests, and listener 'l' has mode tcp; write mode: http" in problem
    (problem,) = problems_of(HEAD + "mode: tcp\nsecurity: {headers: {enabled: true}}\n")
    assert "security.headers: needs requests" in problem


SCRYPT = "scrypt:16:8:1$c2FsdA$" + "00" * 32


@pytest.mark.parametrize(
    ("security", "where", "what"),
    [
        (
            "{basic_auth: {enabled: true}}",
            "basic_auth",
            "has no users, so that nobody could get in; write users or htpasswd_file",
        ),
        ("{basic_auth: {users: {a: plain}}}", "basic_auth.users.a", "it is no hash that is slow to guess; write bcrypt"),
        (f"{{basic_auth: {{users: {{'a:b': '{SCRYPT}'}}}}}}", "basic_auth.users.a:b", "'a:b' is not a user"),
        ("{basic_auth: {user_header: Host}}", "basic_auth.user_header", "Host has another meaning"),
        ("{basic_auth: {user_header: x-forwarded-for}}", "basic_auth.user_header", "x-forwarded-for has another meaning"),
        ("{basic_auth: {htpasswd_file: nowhere}}", "basic_auth.htpasswd_file", "'nowhere' can't be read: No such file"),
        ("{basic_auth: {htpasswd_file: /dev/zero}}", "basic_auth.htpasswd_file", "'/dev/zero': is not a file"),
    ],
)
def test_a_mistake_in_basic_auth_is_told_where_it_is(security: str, where: str, what: str) -> None:
    for text, path in ((ROUTES, f"http.routes[0].security.{where}"), (HEAD + "security: %s\n", f"security.{where}")):
        (problem,) = problems_of(text % security)
        assert f"{path}: {what}" in problem


def test_a_wrong_line_of_an_htpasswd_file_is_named_and_no_hash_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"ada:{SCRYPT}\nbob:hunter2\n")
    (problem,) = problems_of(HEAD + f"security: {{basic_auth: {{htpasswd_file: {file}}}}}\n")
    assert "line 2, 'bob': it is no hash" in problem
    assert "hunter2" not in problem


def test_no_hash_is_in_what_operators_see(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"bob:{SCRYPT}\n")
    text = HEAD + f"security: {{basic_auth: {{enabled: true, users: {{ada: '{SCRYPT}'}}, htpasswd_file: {file}}}}}\n"
    config = load_text(text, "f.yaml", {}).config
    shown = json.dumps(redacted(config))
    assert "c2FsdA" not in shown and "users" in shown
    assert redact("users", {"ada": SCRYPT, "bob": "$2b$12$" + "a" * 53}) == {"ada": "***", "bob": "***"}
    other = load_text(text.replace("ada", "eve"), "f.yaml", {}).config
    assert "c2FsdA" not in "\n".join(difference(config, other))
