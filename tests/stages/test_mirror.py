"""Which requests are copied."""

from __future__ import annotations

import pytest

from balance.config.model import HttpConfig
from balance.config.route_model import Mirror, RouteConfig, TrafficPolicy
from balance.http1.request import RequestReader
from balance.stages.environment import StageEnvironment
from balance.stages.mirror import mirror_stage
from balance.stages.request_context import RequestContext

READER = RequestReader(HttpConfig())


def is_copied(mirror: Mirror, method: str = "GET", fields: str = "", draw: float = 0.0) -> bool:
    route = RouteConfig("r", pool="web", policy=TrafficPolicy(mirror=mirror))
    stage = mirror_stage(route, StageEnvironment("main", HttpConfig(), (route,), lambda: draw))
    if stage is None:
        return False
    head = READER.read(f"{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
    context = RequestContext()
    context.method, context.fields = head.method, head.fields
    context.fields, context.target = head.fields, b"/"
    context.rand = lambda: draw
    context.forward = head.fields.forward
    stage.on_request(context)
    assert context.mirror in ("", mirror.pool)
    return bool(context.mirror)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_methods_that_change_nothing_are_copied(method: str) -> None:
    assert is_copied(Mirror("shadow"), method)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "get", "PROPFIND"])
def test_all_other_methods_are_copied_where_that_is_asked_for(method: str) -> None:
    assert not is_copied(Mirror("shadow"), method)
    assert is_copied(Mirror("shadow", unsafe_methods=True), method)


@pytest.mark.parametrize(
    ("percent", "draw", "expected"),
    [(100, 0.999, True), (50, 0.49, True), (50, 0.5, False), (0.1, 0.0009, True), (0.1, 0.001, False), (0, 0.0, False)],
)
def test_as_many_as_is_said(percent: float, draw: float, expected: bool) -> None:
    assert is_copied(Mirror("shadow", percent=percent), draw=draw) is expected


@pytest.mark.parametrize("fields", ["X-Balance-Mirror: 1\r\n", "Connection: upgrade\r\nUpgrade: websocket\r\n"])
def test_neither_copies_nor_upgrades_are_copied(fields: str) -> None:
    assert not is_copied(Mirror("shadow", unsafe_methods=True), fields=fields)
