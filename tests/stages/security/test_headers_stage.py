"""Which security fields replies have."""

from __future__ import annotations

import pytest
from contexts import request_context

from balance.config.route_model import RouteConfig
from balance.security.settings import RouteSecurity, SecurityHeaders
from balance.stages.security.headers_stage import headers_stage
from balance.stages.stage import ReplyHead

USUAL = [
    "X-Content-Type-Options: nosniff",
    "X-Frame-Options: SAMEORIGIN",
    "Referrer-Policy: strict-origin-when-cross-origin",
]
NONE = {"nosniff": False, "frame_options": "off", "referrer_policy": ""}


def replied(lines: str = "", scheme: str = "http", is_own: bool = False, **keys: object) -> list[str]:
    settings = SecurityHeaders(**({"enabled": True} | keys))  # type: ignore[arg-type]
    stage = headers_stage(RouteConfig("r", security=RouteSecurity(headers=settings)), None)
    if stage is None:
        return ["no stage"]
    reply = ReplyHead(200, b"HTTP/1.1 200 OK\r\n" + lines.encode(), is_own=is_own)
    stage.on_reply(request_context(scheme=scheme), reply)
    assert reply.lines.startswith(b"HTTP/1.1 200 OK\r\n")
    return reply.lines.decode().split("\r\n")[1:-1]


@pytest.mark.parametrize(
    ("keys", "scheme", "expected"),
    [
        ({}, "http", USUAL),
        ({"enabled": False}, "http", ["no stage"]),
        (NONE, "https", []),
        (NONE | {"hsts_max_age_s": 60.0}, "http", []),
        (NONE | {"hsts_max_age_s": 60.0}, "https", ["Strict-Transport-Security: max-age=60"]),
        (
            NONE | {"hsts_max_age_s": 60.0, "hsts_subdomains": True, "hsts_preload": True},
            "https",
            ["Strict-Transport-Security: max-age=60; includeSubDomains; preload"],
        ),
        ({"frame_options": "deny"}, "http", [USUAL[0], "X-Frame-Options: DENY", USUAL[2]]),
        ({"nosniff": False, "referrer_policy": "no-referrer"}, "http", [USUAL[1], "Referrer-Policy: no-referrer"]),
        (NONE | {"content_security_policy": "default-src 'self'"}, "http", ["Content-Security-Policy: default-src 'self'"]),
        (NONE | {"permissions_policy": "camera=()"}, "http", ["Permissions-Policy: camera=()"]),
        (NONE | {"cross_origin_opener_policy": "same-origin"}, "http", ["Cross-Origin-Opener-Policy: same-origin"]),
        (NONE | {"cross_origin_resource_policy": "same-site"}, "http", ["Cross-Origin-Resource-Policy: same-site"]),
        (NONE | {"cross_origin_embedder_policy": "require-corp"}, "http", ["Cross-Origin-Embedder-Policy: require-corp"]),
    ],
)
def test_fields(keys: dict[str, object], scheme: str, expected: list[str]) -> None:
    assert replied("", scheme, **keys) == expected


@pytest.mark.parametrize(
    ("keys", "scheme", "lines", "expected"),
    [
        ({}, "http", "x-frame-options: ALLOWALL\r\nX-A: 1\r\n", ["X-A: 1", *USUAL]),
        ({"replace": False}, "http", "x-frame-options: DENY\r\n", ["x-frame-options: DENY", USUAL[0], USUAL[2]]),
        ({"replace": False}, "http", "", USUAL),
        (NONE, "https", "Strict-Transport-Security: max-age=1\r\n", ["Strict-Transport-Security: max-age=1"]),
        # over plain HTTP nobody's goes out, over TLS one
        (NONE | {"hsts_max_age_s": 60.0}, "http", "Strict-Transport-Security: max-age=1\r\n", []),
        (
            NONE | {"hsts_max_age_s": 60.0, "replace": False},
            "https",
            "strict-transport-security: max-age=1\r\nStrict-Transport-Security: max-age=2\r\n",
            ["Strict-Transport-Security: max-age=60"],
        ),
        (NONE | {"remove": ("Server", "X-Powered-By")}, "http", "server: x/1\r\nX-Powered-By: y\r\nX-A: 1\r\n", ["X-A: 1"]),
    ],
)
def test_a_backends_own_field_is_replaced_or_stays(
    keys: dict[str, object], scheme: str, lines: str, expected: list[str]
) -> None:
    assert replied(lines, scheme, **keys) == expected


def test_our_own_replies_have_them_too() -> None:
    assert replied(is_own=True) == USUAL


def test_the_same_for_all_requests_but_for_hsts() -> None:
    for seconds, expected in ((0.0, True), (60.0, False)):
        settings = RouteSecurity(headers=SecurityHeaders(enabled=True, hsts_max_age_s=seconds))
        stage = headers_stage(RouteConfig("r", security=settings), None)
        assert stage is not None
        assert stage.is_same_for_all(b"") is expected
