"""Which stages do the same to every request with the same field lines, method and trust."""

from __future__ import annotations

import pytest
from contexts import request_context

from balance.config.model import HttpConfig
from balance.config.route_model import (
    BlueGreen,
    Canary,
    Compression,
    Condition,
    Fault,
    HeaderChange,
    Mirror,
    Regions,
    RouteConfig,
    Rule,
    TrafficPolicy,
    Transform,
    ValueMatch,
    WeightedPool,
)
from balance.http1.head import RequestFields
from balance.stages import build_stages
from balance.stages.environment import Moment, StageEnvironment
from balance.stages.settled import Settled

FAULT = Fault(abort_percent=100, header=ValueMatch("X-Fault", "present"), until_s=100)


def deny(subject: str, name: str = "", value: str = "no") -> TrafficPolicy:
    return TrafficPolicy(rules=(Rule(Condition("equals", subject, name, value), "deny"),))


def to_v2(subject: str, name: str, value: str) -> TrafficPolicy:
    return TrafficPolicy(rules=(Rule(Condition("equals", subject, name, value), "route", pool="v2"),))


@pytest.mark.parametrize(
    ("keys", "lines", "expected"),
    [
        ({"policy": deny("header", "x-user")}, "X-User: ann", True),
        ({"policy": deny("method")}, "X-User: ann", True),
        ({"policy": deny("path")}, "X-User: ann", False),
        ({"policy": deny("client_ip", value="192.0.2.9")}, "X-User: ann", False),
        ({"policy": deny("query", "q")}, "X-User: ann", False),
        ({"policy": to_v2("header", "x-user", "ann")}, "X-User: ann", False),  # it is counted each time
        ({"policy": TrafficPolicy(canary=Canary("v2", 10, key="header:X-User"))}, "X-User: ann", True),
        ({"policy": TrafficPolicy(canary=Canary("v2", 10, key="header:X-User"))}, "X-Other: ann", False),  # a cookie is set
        ({"policy": TrafficPolicy(canary=Canary("v2", 10, key="client-ip"))}, "X-User: ann", False),
        ({"split": (WeightedPool("v1", 1), WeightedPool("v2", 1))}, "Cookie: balance-side=1", True),
        ({"split": (WeightedPool("v1", 1), WeightedPool("v2", 1))}, "X-User: ann", False),
        ({"split": (WeightedPool("v1", 1), WeightedPool("v2", 0))}, "X-User: ann", True),
        ({"policy": TrafficPolicy(blue_green=BlueGreen("v1", "v2"))}, "X-User: ann", True),
        ({"policy": TrafficPolicy(fault=FAULT)}, "X-User: ann", True),
        ({"policy": TrafficPolicy(fault=Fault(abort_percent=1, until_s=100))}, "X-User: ann", False),
        ({"policy": TrafficPolicy(mirror=Mirror("v2", 50))}, "X-User: ann", False),
        ({"policy": TrafficPolicy(regions=Regions(header="X-Region"))}, "X-User: ann", False),
        ({"compression": Compression(enabled=True)}, "X-User: ann", True),
        ({"compression": Compression(enabled=True)}, 'If-None-Match: "a"', False),
        ({"transform": Transform(request_headers=(HeaderChange("set", "A", "b"),))}, "X-User: ann", True),
        ({"transform": Transform(request_headers=(HeaderChange("set", "A", "{client_ip}"),))}, "X-User: ann", False),
        ({"transform": Transform(strip_prefix="/a")}, "X-User: ann", False),
    ],
)
def test_what_is_settled(keys: dict[str, object], lines: str, expected: bool) -> None:
    route = RouteConfig(name="r", pool="v1", **keys)  # type: ignore[arg-type]
    environment = StageEnvironment("main", HttpConfig(), (route,), lambda: 0.99, Moment(1.0, 1.0))
    (stage,) = build_stages(route, environment)
    forward = lines.encode() + b"\r\n"
    fields = RequestFields()
    fields.forward = forward
    context = request_context(b"/b", forward, fields=fields, rand=lambda: 0.99, pool="v1", now=1.0)
    assert stage.on_request(context) is None
    assert stage.is_settled(context) is expected


def test_it_holds_what_stages_have_set() -> None:
    context = request_context(pool="v2", rule="canary", is_trusted=True, without_own=frozenset((b"via",)))
    settled = Settled(context, 3)
    assert (settled.count, settled.pool, settled.rule, settled.method) == (3, "v2", "canary", b"GET")
    assert (settled.is_trusted, settled.forward, settled.without_own) == (True, context.forward, frozenset((b"via",)))
