"""Totals, flows, listeners, routes and limits, from what is between two readings."""

from __future__ import annotations

from dataclasses import replace

from fake_instance import FakeInstance
from traffic_of_a_view import EPOCH, MakeView, Watched

from balance.admin.state_view import StateView
from balance.config import load_text
from balance.model import Mode, Why
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER, route_key
from balance.runtime.snapshot import backend_slots

ROUTED = """\
listeners:
- name: web
  listen: "127.0.0.1:8080"
  mode: http
  http:
    routes:
    - {name: shop, path: /shop, pool: app, rate_limit: {enabled: true, requests_per_second: 5}}
    - {name: rest, path: /, policy: {blue_green: {active: blue, blue: raw, green: app}}}
pools:
  app: {backends: [{name: a1, address: "127.0.0.1:9001"}]}
  raw: {backends: [{name: r1, address: "127.0.0.1:9003"}]}
"""


def routed() -> StateView:
    view = FakeInstance().view
    view.config = load_text(ROUTED, "test.yaml", {}).config
    view.slots = backend_slots(view.config)
    view.board.use_slots(len(view.slots) + 1)  # type: ignore[attr-defined]
    return view


def test_totals(view: StateView) -> None:
    watched = Watched(view)
    watched.serve(1, 20)
    watched.serve(1, 4, status=404)
    watched.serve(1, 6, status=500, worker=1)
    totals = watched.next()["totals"]
    assert (totals["requests"], totals["errors_4xx"], totals["errors_5xx"]) == (30.0, 4.0, 6.0)
    assert totals["statuses"] == {"200": 20.0, "404": 4.0, "500": 6.0}
    assert (totals["bytes_in"], totals["bytes_out"]) == (3000.0, 6000.0)
    assert totals["requests_total"] == 30
    assert watched.next()["totals"]["requests"] == 0.0
    assert "p50_seconds" in watched.document["totals"]  # of the last seconds
    for _ in range(8):
        watched.next()
    assert "p50_seconds" not in watched.document["totals"]


def test_how_requests_ended(view: StateView) -> None:
    watched = Watched(view)
    view.board.rows[0][counters.WHY + Why.CONNECT_REFUSED] += 5
    assert watched.next()["whys"] == {"connect_refused": {"rate": 5.0, "total": 5}}


def test_flows_go_from_routes_to_backends() -> None:
    view = routed()
    watched = Watched(view)
    shop, rest = (view.slots[route_key("web", name)] for name in ("shop", "rest"))
    watched.serve(view.slots["app", "a1"], 7, route=shop)
    watched.serve(view.slots["raw", "r1"], 2, route=rest)
    watched.serve(0, 3, status=503, route=rest)
    watched.serve(0, 1, status=404)
    document = watched.next()
    assert document["flows"] == {"web/shop": {"app/a1": 7.0}, "web/rest": {"raw/r1": 2.0, "-": 3.0}, "web/": {"-": 1.0}}
    assert document["listeners"]["web"]["rate"] == 13.0
    assert document["routes"]["web/rest"]["errors_5xx"] == 3.0


def test_a_listener_without_routes_and_one_of_tcp_have_flows(make_view: MakeView) -> None:
    view = make_view()
    watched = Watched(view)
    watched.serve(1, 4)
    assert watched.next()["flows"] == {"web/": {"app/a1": 4.0}}
    tcp = FakeInstance().view
    (web,) = tcp.config.listeners
    tcp.config = replace(tcp.config, listeners=(replace(web, mode=Mode.TCP),))
    watched = Watched(tcp)
    tcp.board.rows[0][counters.block(tcp.slots["app", "a1"]) + counters.TCP_SESSIONS] += 3
    document = watched.next()
    assert (document["flows"], document["totals"]["sessions"]) == ({"web/": {"app/a1": 3.0}}, 3.0)


def test_routes_have_hits_limits_and_sides() -> None:
    view = routed()
    watched = Watched(view)
    block = counters.block(view.slots[route_key("web", "shop")])
    row = view.board.rows[1]
    row[block + counters.ROUTE_HITS], row[block + counters.ROUTE_LAST_US] = 8, int(1001.4e6)
    row[block + counters.RATE_LIMITED], row[block + counters.RATE_REPORTED] = 6, 1
    document = watched.next()
    shop = document["routes"]["web/shop"]
    assert (shop["hits_total"], shop["rate"], shop["last_hit_at"], shop["match"]) == (8, 8.0, EPOCH + 1, "/shop")
    assert document["routes"]["web/rest"]["switch"] == {"active": "blue", "blue": "raw", "green": "app", "version": "blue"}
    limit = document["rate_limits"]["web/shop"]
    assert limit == {"what": "for each client-ip", "refused": 6.0, "refused_total": 6, "reported_total": 1}


def test_a_rate_limit_is_none_of_a_tcp_listener() -> None:
    """The section at the top is every listener's, and limits requests, which TCP has none of."""
    view = FakeInstance().view
    (web,) = view.config.listeners
    limited = replace(web, rate_limit=replace(web.rate_limit, enabled=True))
    view.config = replace(view.config, listeners=(limited,))
    assert set(Watched(view).next()["rate_limits"]) == {"web/"}
    view.config = replace(view.config, listeners=(replace(limited, mode=Mode.TCP),))
    assert Watched(view).next()["rate_limits"] == {}


def test_listeners(make_view: MakeView) -> None:
    view = make_view()
    (web,) = view.config.listeners
    view.config = replace(view.config, listeners=(replace(web, max_clients=50),))
    block = counters.block(view.slots[LISTENER, "web"])
    watched = Watched(view)
    view.board.rows[0][block + counters.ACTIVE] = 5
    view.board.rows[1][block + counters.REFUSED_RATE] = 2
    web_row = watched.next()["listeners"]["web"]
    assert (web_row["clients"], web_row["max_clients"], web_row["refused"], web_row["refused_total"]) == (5, 50, 2.0, 2)
    assert (web_row["mode"], web_row["listen"], web_row["tls"]) == ("http", "127.0.0.1:8080", False)
