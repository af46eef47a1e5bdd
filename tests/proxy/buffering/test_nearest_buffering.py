"""Whose `buffering` holds for a request: the nearest wins, key by key: the route's, its pool's, the listener's."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from rawclient import ok, post
from stage import Stage, serve, until

from balance.config import load_text
from balance.config.route_model import Buffering

MB = 1024 * 1024
FILE = """
listeners: [{{name: main, listen: ":1", mode: http, pool: a{of_listener}}}]
pools:
  a: {{backends: [{{name: a, address: "a:1"}}]{of_pool}}}
  b: {{backends: [{{name: b, address: "b:1"}}]}}
{of_top}
"""
ROUTES = """
http:
  buffering: {request: 1MB, total: 5MB}
  routes:
    - {name: own, path_prefix: /own, pool: a, buffering: {request: 0}}
    - {name: split, path_prefix: /split, split: [{pool: a, weight: 1}, {pool: b, weight: 1}]}
    - {name: rest, pool: b}
"""


@pytest.mark.parametrize(
    ("of_top", "of_listener", "of_pool", "expected"),
    [
        ("", "", "", (0, 0, 64 * MB)),
        ("http: {buffering: {request: 1MB, response: 2MB, total: 3MB}}", "", "", (MB, 2 * MB, 3 * MB)),
        ("http: {buffering: {request: 1MB}}", ", http: {buffering: {response: 2MB}}", "", (MB, 2 * MB, 64 * MB)),
        ("http: {buffering: {request: 1MB}}", ", http: {buffering: {request: 0}}", "", (0, 0, 64 * MB)),
        ("http: {buffering: {request: 1MB}}", "", ", buffering: {request: 2MB}", (2 * MB, 0, 64 * MB)),
        ("http: {buffering: {request: 1MB, total: 3MB}}", "", ", buffering: {response: 2MB}", (MB, 2 * MB, 3 * MB)),
    ],
)
def test_a_pools_keys_win_over_a_listeners(of_top: str, of_listener: str, of_pool: str, expected: tuple[int, int, int]) -> None:
    text = FILE.format(of_top=of_top, of_listener=of_listener, of_pool=of_pool)
    (listener,) = load_text(text, "a.yaml", {}).config.listeners
    assert astuple(listener.http.buffering) == expected


def test_a_routes_keys_win_over_its_pools_for_each_pool_that_it_leads_to() -> None:
    text = FILE.format(of_top=ROUTES, of_listener="", of_pool=", buffering: {response: 2MB}")
    (listener,) = load_text(text, "a.yaml", {}).config.listeners
    found = {(route.name, use.pool): use.buffering for route in listener.http.routes for use in route.uses}
    assert found == {
        ("own", "a"): Buffering(0, 2 * MB, 5 * MB),
        ("split", "a"): Buffering(MB, 2 * MB, 5 * MB),
        ("split", "b"): Buffering(MB, 0, 5 * MB),
        ("rest", "b"): Buffering(MB, 0, 5 * MB),
    }


@pytest.mark.parametrize(("of_route", "streams"), [("0", True), ("1MB", False)])
async def test_a_request_goes_by_its_routes_own(stage: Stage, of_route: str, streams: bool) -> None:
    routes = f"http: {{routes: [{{name: own, path_prefix: /own, pool: a, buffering: {{request: {of_route}}}}}]}}"
    (listener,) = load_text(FILE.format(of_top=routes, of_listener="", of_pool=""), "a.yaml", {}).config.listeners
    backend = stage.backend(serve(ok()))

    uses = tuple(replace(use, pool="pool") for use in listener.http.routes[0].uses)
    await stage.open(http=replace(listener.http, routes=(replace(listener.http.routes[0], pool="pool", uses=uses),)))
    client = await stage.client()
    await client.send(post(b"x" * 1000, target="/own")[:-500])
    await until(lambda: backend.wires if streams else stage.worker.buffered.held == 500, "it streams, or is held")
    assert bool(backend.wires) is streams
    await client.send(b"x" * 500)
    assert (await client.reply()).status == 200
