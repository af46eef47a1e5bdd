"""Mistakes in `security`: the exact messages, with their places."""

from __future__ import annotations

import pytest

from balance.config import load_text
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
