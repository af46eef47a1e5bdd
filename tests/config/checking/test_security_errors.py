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

CERTIFICATE = Path(__file__).resolve().parents[3] / "deployments" / "examples" / "certificates" / "example.crt"
SCRYPT = "scrypt:16:8:1$c2FsdA$" + "00" * 32
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


@pytest.mark.parametrize(
    ("keys", "where", "what"),
    [
        ("", "", "'pool' is missing: the pool of the authorizer"),
        (", pool: x", ".pool", "'x' is not defined; pools: default"),
        (", pool: default, timeout: 0s", ".timeout", "'0s' is no time at all"),
        (", pool: default, on_failure: open", ".on_failure", "'open' is not one of deny, allow"),
        (", pool: default, path: verify", ".path", "'verify' is not a path; it begins with /"),
        (", pool: default, path: '/a#b'", ".path", "'/a#b' is not a path; it begins with /"),
        (", pool: default, response_headers: Host", ".response_headers", "Host has another meaning; write a field of your own"),
        (", pool: default, response_headers: X-Real-IP", ".response_headers", "X-Real-IP has another meaning"),
        (", pool: default, request_headers: Upgrade", ".request_headers", "Upgrade belongs to a connection or to a body"),
        (", pool: default, client_headers: content-length", ".client_headers", "content-length belongs to a connection or to"),
    ],
    ids=range(10),
)
def test_mistakes_about_an_authorizer(keys: str, where: str, what: str) -> None:
    for text, path in ((ROUTES, "http.routes[0].security.forward_auth"), (HEAD + "security: %s\n", "security.forward_auth")):
        (problem,) = problems_of(text % f"{{forward_auth: {{enabled: true{keys}}}}}")
        assert f" {path}{where}: {what}" in problem


@pytest.mark.parametrize(
    ("keys", "where", "what"),
    [
        ("jwks_url: login.example/jwks", ".jwks_url", "it is no URL; write one like https://login.example.org/jwks.json"),
        ("jwks_url: 'ftp://a/'", ".jwks_url", "it is no URL"),
        ("jwks_url: 'https://'", ".jwks_url", "it is no URL"),
        ("jwks_url: 'https://a:99999/'", ".jwks_url", "it is no URL"),
        ("jwks_url: 'https://a/ b'", ".jwks_url", "it is no URL"),
        ("jwks_url: 'https://u:hunter2@a/'", ".jwks_url", "it has a user or password in it"),
        ("jwks_url: 'https://a/', jwks_refresh: 0s", ".jwks_refresh", ""),
        ("jwks_url: 'http://127.0.0.1/', jwks_ca_file: ca.pem", ".jwks_ca_file", "has no effect without a jwks_url with https"),
        ("jwks_url: 'https://a/', jwks_ca_file: no.pem", ".jwks_ca_file", "'no.pem' can't be read"),
        ("jwks_url: 'https://a/', jwks_ca_file: empty.pem", ".jwks_ca_file", "'empty.pem': has no certificate in PEM"),
    ],
    ids=range(10),
)
def test_mistakes_about_keys_by_url(keys: str, where: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "ca.pem").write_text(CERTIFICATE.read_text())
    text = HEAD + f"security: {{jwt: {{enabled: true, algorithms: ES256, {keys}}}}}\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text, str(tmp_path / "f.yaml"), {})
    problems = "\n".join(map(str, caught.value.problems))
    assert f" security.jwt{where}: {what}" in problems
    assert "hunter2" not in problems


def test_the_query_of_a_url_of_keys_is_not_shown() -> None:
    text = HEAD + "security: {jwt: {enabled: true, algorithms: ES256, jwks_url: 'https://a/jwks?k=hunter2'}}\n"
    config, before = load_text(text, "f.yaml", {}).config, load_text(HEAD, "f.yaml", {}).config
    shown = json.dumps(redacted(config))
    assert "https://a/jwks?***" in shown
    assert "hunter2" not in shown + json.dumps(redact("jwks_url", "https://a/?hunter2")) + str(difference(before, config))


def test_symmetric_algorithms_take_no_keys_by_url() -> None:
    secret = "s" * 32
    (problem,) = problems_of(
        HEAD + f"security: {{jwt: {{enabled: true, algorithms: HS256, secret: {secret}, jwks_url: 'https://a/'}}}}\n"
    )
    assert "security.jwt.jwks_url: has no effect with HS* alone, which take secret" in problem


def test_a_pool_that_is_asked_alone_is_in_use() -> None:
    pools = "pools: {a: {backends: [{address: 'a:1'}]}, auth: {backends: [{address: 'b:1'}]}}\n"
    text = "listeners: [{listen: ':1', pool: a}]\n" + pools + "security: {forward_auth: {enabled: true, pool: auth}}\n"
    loaded = load_text(text, "f.yaml", {})
    assert loaded.config.listeners[0].pools == ("a", "auth")
    assert not loaded.warnings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("basic_auth", f"{{users: {{ada: '{SCRYPT}'}}}}"),
        ("jwt", "{algorithms: HS256, secret: 'ssssssssssssssssssssssssssssssssssss'}"),
        ("forward_auth", "{pool: default}"),
    ],
)
def test_what_is_given_without_enabled_leaves_no_door_open(key: str, value: str) -> None:
    for text, path in ((ROUTES, f"http.routes[0].security.{key}"), (HEAD + "security: %s\n", f"security.{key}")):
        (problem,) = problems_of(text % f"{{{key}: {value}}}")
        assert f"{path}: is given but not enabled, so that it has no effect; write enabled: true, or" in problem
        load_text(text % f"{{{key}: {{enabled: false, {value[1:]}}}", "f.yaml", {})


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
        (
            "{basic_auth: {enabled: false, htpasswd_file: nowhere}}",
            "basic_auth.htpasswd_file",
            "'nowhere' can't be read: No such file",
        ),
        ("{basic_auth: {enabled: false, htpasswd_file: /dev/zero}}", "basic_auth.htpasswd_file", "'/dev/zero': is not a file"),
    ],
)
def test_a_mistake_in_basic_auth_is_told_where_it_is(security: str, where: str, what: str) -> None:
    for text, path in ((ROUTES, f"http.routes[0].security.{where}"), (HEAD + "security: %s\n", f"security.{where}")):
        (problem,) = problems_of(text % security)
        assert f"{path}: {what}" in problem


def test_a_wrong_line_of_an_htpasswd_file_is_named_and_no_hash_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"ada:{SCRYPT}\nbob:hunter2\n")
    (problem,) = problems_of(HEAD + f"security: {{basic_auth: {{enabled: false, htpasswd_file: {file}}}}}\n")
    assert f" security.basic_auth.htpasswd_file: {file}:2: 'bob': it is no hash" in problem
    assert "hunter2" not in problem
    file.write_text("bob:hunter2\n")
    (problem,) = problems_of(HEAD + f"security: {{basic_auth: {{enabled: true, htpasswd_file: {file}}}}}\n")
    assert f"{file}:1: 'bob': it is no hash" in problem  # and not that nobody could get in


def test_no_hash_is_in_what_operators_see(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"bob:{SCRYPT}\n")
    text = HEAD + f"security: {{basic_auth: {{enabled: true, users: {{ada: '{SCRYPT}'}}, htpasswd_file: {file}}}}}\n"
    config = load_text(text, "f.yaml", {}).config
    shown = json.dumps(redacted(config))
    assert "c2FsdA" not in shown and "users" in shown
    assert "c2FsdA" not in repr(config)
    assert redact("users", {"ada": SCRYPT, "bob": "$2b$12$" + "a" * 53}) == {"ada": "***", "bob": "***"}
    other = load_text(text.replace("ada", "eve"), "f.yaml", {}).config
    assert "c2FsdA" not in "\n".join(difference(config, other))


HS = "algorithms: HS256, secret: 'ssssssssssssssssssssssssssssssssssss'"


@pytest.mark.parametrize(
    ("jwt", "where", "what"),
    [
        ("enabled: true", "jwt", "'algorithms' is missing"),
        ("algorithms: none", "jwt.algorithms", "'none' is not one of HS256, HS384"),
        ("enabled: true, algorithms: HS256", "jwt.algorithms", "HS256 needs secret"),
        (
            "enabled: true, algorithms: [HS256, RS256], secret: 'ssssssssssssssssssssssssssssssssssss'",
            "jwt.algorithms",
            "RS256 needs pem_files",
        ),
        ("enabled: true, algorithms: HS256, secret: short", "jwt.secret", "it is shorter than the 32 bytes that HS256 need"),
        (
            "enabled: true, algorithms: HS256, secret: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC'",
            "jwt.secret",
            "it looks like a key for RS*",
        ),
        (f"enabled: true, {HS}, pem_files: PEM", "jwt.pem_files", "has no effect with HS* alone"),
        ("enabled: true, algorithms: ES256, pem_files: PEM, secret: x", "jwt.secret", "has no effect without one of HS256"),
        (
            f"enabled: true, {HS}, source: 'cookie:t', forward: false",
            "jwt.forward",
            "false has no effect on a token in a cookie",
        ),
        ("source: 'header:Authorization'", "jwt.source", "'header:Authorization': write authorization, or cookie:NAME"),
        ("source: query", "jwt.source", "'query' is not one of authorization, header:NAME, cookie:NAME"),
        ("claims_to_headers: {sub: Authorization}", "jwt.claims_to_headers.sub", "Authorization has another meaning"),
        ("enabled: false, pem_files: nowhere.pem", "jwt.pem_files", "'nowhere.pem' can't be read"),
        ("enabled: false, jwks_file: PEM", "jwt.jwks_file", "PEM': is no set of keys"),
    ],
    ids=range(14),
)
def test_a_mistake_in_jwt_is_told_where_it_is(jwt: str, where: str, what: str) -> None:
    pem = str(Path(__file__).resolve().parents[3] / "deployments" / "examples" / "tokens.pem")
    for text, path in ((ROUTES, f"http.routes[0].security.{where}"), (HEAD + "security: %s\n", f"security.{where}")):
        (problem,) = problems_of(text % f"{{jwt: {{{jwt}}}}}".replace("PEM", pem))
        assert f"{path}: " in problem and what.replace("PEM", pem) in problem


def test_two_that_read_authorization_are_one_too_many() -> None:
    security = f"security: {{basic_auth: {{enabled: true, users: {{a: '{SCRYPT}'}}}}, jwt: {{enabled: true, {HS}}}}}\n"
    (problem,) = problems_of(HEAD + security)
    assert "security.jwt: stands beside basic_auth, which reads Authorization, too" in problem
    load_text(HEAD + security.replace(HS, HS + ", source: 'cookie:t'"), "f.yaml", {})


def test_no_secret_of_tokens_is_in_what_operators_see() -> None:
    config = load_text(HEAD + f"security: {{jwt: {{enabled: true, {HS}}}}}\n", "f.yaml", {}).config
    other = load_text(HEAD + f"security: {{jwt: {{enabled: true, {HS.replace('sss', 'stt')}}}}}\n", "f.yaml", {}).config
    for shown in (json.dumps(redacted(config)), repr(config), *difference(config, other)):
        assert "ssss" not in shown and "tts" not in shown
