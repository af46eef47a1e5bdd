"""What preflight requests are answered, and which replies pages may read."""

from __future__ import annotations

import pytest
from contexts import request_context

from balance.config.route_model import RouteConfig
from balance.model import Why
from balance.security.settings import Cors, RouteSecurity
from balance.stages.security.cors_stage import CorsStage, cors_stage
from balance.stages.stage import Reply, ReplyHead

ORIGIN = "Origin: https://a.example\r\n"
PUT = "Access-Control-Request-Method: PUT\r\n"
VARY = "Vary: Access-Control-Request-Method, Access-Control-Request-Headers"
REFUSED = [VARY, "Vary: Origin"]
ALLOWED = ["Access-Control-Allow-Origin: https://a.example", "Vary: Origin"]


def stage_of(**keys: object) -> CorsStage | None:
    cors = Cors(**({"enabled": True, "allow_origins": ("https://a.example",)} | keys))  # type: ignore[arg-type]
    return cors_stage(RouteConfig("r", security=RouteSecurity(cors=cors)), None)


def answered(lines: str, method: str = "OPTIONS", **keys: object) -> list[str] | None:
    """The lines of our reply; None where the request goes on."""
    stage = stage_of(**keys)
    if stage is None:
        return None
    context = request_context(forward=lines.encode(), method=method.encode())
    reply = stage.on_request(context)
    if reply is None:
        return None
    assert isinstance(reply, Reply)
    assert (reply.status, reply.why, reply.body) == (204, Why.PREFLIGHT, b"")
    head = ReplyHead(204, reply.lines, is_own=True)
    stage.on_reply(context, head)
    return head.lines.decode().split("\r\n")[:-1]


def usual(methods: str = "GET, HEAD, POST", *, age: int = 600, headers: str = "") -> list[str]:
    asked = [f"Access-Control-Allow-Headers: {headers}"] if headers else []
    return [VARY, f"Access-Control-Allow-Methods: {methods}", *asked, f"Access-Control-Max-Age: {age}"]


@pytest.mark.parametrize(
    ("keys", "lines", "expected"),
    [
        ({}, ORIGIN + PUT, [*usual(), *ALLOWED]),
        ({"allow_methods": ("PUT",)}, ORIGIN + PUT, [*usual("PUT"), *ALLOWED]),
        ({"allow_headers": ("X-A", "X-B")}, ORIGIN + PUT, [*usual(headers="X-A, X-B"), *ALLOWED]),
        ({"max_age_s": 5.0}, ORIGIN + PUT, [*usual(age=5), *ALLOWED]),
        (
            {"allow_credentials": True},
            ORIGIN + PUT,
            [*usual(), ALLOWED[0], "Access-Control-Allow-Credentials: true", ALLOWED[1]],
        ),
        ({"allow_origins": ("*",)}, ORIGIN + PUT, [*usual(), "Access-Control-Allow-Origin: *"]),
        ({"allow_origins": ()}, ORIGIN + PUT, REFUSED),
        ({"enabled": False}, ORIGIN + PUT, None),
        ({}, "Origin: https://evil.example\r\n" + PUT, REFUSED),
        ({}, "Origin: null\r\n" + PUT, REFUSED),
        ({}, ORIGIN + ORIGIN + PUT, REFUSED),
        ({}, ORIGIN, None),  # an OPTIONS of another kind is authenticated like all others
        ({}, PUT, None),
    ],
)
def test_preflight(keys: dict[str, object], lines: str, expected: list[str] | None) -> None:
    assert answered(lines, **keys) == expected


@pytest.mark.parametrize("method", ["GET", "POST", "options"])
def test_only_options_is_a_preflight(method: str) -> None:
    assert answered(ORIGIN + PUT, method) is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("X-A, x-b", "X-A, x-b"),
        ("X-A,, ,X-B ", "X-A, X-B"),
        ("X A, Y", "Y"),
        ("x" * 2000, ""),
        ("", ""),
    ],
)
def test_any_header_means_those_that_are_asked_for(asked: str, expected: str) -> None:
    lines = answered(ORIGIN + PUT + f"Access-Control-Request-Headers: {asked}\r\n", allow_headers=("*",)) or []
    assert [each for each in lines if "Allow-Headers" in each] == (
        [f"Access-Control-Allow-Headers: {expected}"] if expected else []
    )


@pytest.mark.parametrize(
    ("keys", "lines", "sent", "expected"),
    [
        ({}, ORIGIN, "", ALLOWED),
        ({}, "", "", ["Vary: Origin"]),
        ({}, "Origin: https://evil.example\r\n", "", ["Vary: Origin"]),
        ({}, ORIGIN + "Origin: https://evil.example\r\n", "", ["Vary: Origin"]),
        ({}, "Origin: https://evil.example\r\n", "Access-Control-Allow-Origin: *\r\n", ["Vary: Origin"]),
        ({}, ORIGIN, "access-control-allow-origin: *\r\nAccess-Control-Max-Age: 1\r\nX-A: 1\r\n", ["X-A: 1", *ALLOWED]),
        ({}, ORIGIN, "Vary: Accept, origin\r\n", ["Vary: Accept, origin", ALLOWED[0]]),
        ({}, ORIGIN, "Vary: *\r\n", ["Vary: *", ALLOWED[0]]),
        ({"expose_headers": ("X-B",)}, ORIGIN, "", [ALLOWED[0], "Access-Control-Expose-Headers: X-B", ALLOWED[1]]),
        ({"allow_origins": ("*",)}, "", "", ["Access-Control-Allow-Origin: *"]),
    ],
)
def test_replies_to_requests(keys: dict[str, object], lines: str, sent: str, expected: list[str]) -> None:
    stage = stage_of(**keys)
    assert stage is not None
    context = request_context(forward=lines.encode())
    for _ in range(2):  # the second time from a note
        reply = ReplyHead(200, b"HTTP/1.1 200 OK\r\n" + sent.encode())
        stage.on_reply(context, reply)
        assert reply.lines.decode().split("\r\n")[1:-1] == expected
    assert stage.is_same_for_all(b"") is ("allow_origins" in keys)
