"""A request's region: from whom it is believed, and that rules can judge one that nobody knows."""

from __future__ import annotations

import ipaddress

import pytest

from balance.config.model import HttpConfig
from balance.config.route_model import Condition, Regions, RouteConfig, Rule, TrafficPolicy
from balance.geoip import GeoDatabaseError
from balance.http1.request import RequestReader
from balance.stages import build_stages
from balance.stages.environment import StageEnvironment
from balance.stages.region import Region, region_stage
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply

READER = RequestReader(HttpConfig())
REGIONS = Regions(header="x-region", cidrs=(("eu", (ipaddress.ip_network("10.0.0.0/8"),)),))


def request(client: str, fields: bytes = b"", *, is_trusted: bool = False) -> RequestContext:
    head = READER.read(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    context = RequestContext()
    context.method, context.target, context.path, context.fields = b"GET", b"/", b"/", head.fields
    context.fields, context.target = head.fields, b"/"
    context.forward = head.fields.forward
    context.is_trusted, context.client = is_trusted, client
    return context


def environment(route: RouteConfig) -> StageEnvironment:
    return StageEnvironment("main", HttpConfig(), (route,), lambda: 0.0, regions=frozenset(["asia"]))


def route(regions: Regions | None, *rules: Rule) -> RouteConfig:
    return RouteConfig("r", pool="web", policy=TrafficPolicy(regions=regions, rules=rules))


@pytest.mark.parametrize(
    ("client", "fields", "is_trusted", "region"),
    [
        ("10.0.0.1", b"", False, "eu"),
        ("192.0.2.1", b"", False, "unknown"),
        ("192.0.2.1", b"X-Region: asia\r\n", True, "asia"),
        ("192.0.2.1", b"X-Region: ASIA\r\n", True, "asia"),
        ("192.0.2.1", b"X-Region: asia\r\n", False, "unknown"),
        ("10.0.0.1", b"X-Region: asia\r\n", False, "eu"),
        ("10.0.0.1", b"X-Region: asia\r\nConnection: x-region\r\n", True, "eu"),
        ("", b"", False, "unknown"),
    ],
)
def test_a_field_is_believed_from_trusted_proxies_only(client: str, fields: bytes, is_trusted: bool, region: str) -> None:
    config = route(REGIONS)
    stage = region_stage(config, environment(config))
    assert stage is not None
    context = request(client, fields, is_trusted=is_trusted)
    stage.on_request(context)
    assert context.region == region
    assert (b"X-Region:" in context.forward) is (is_trusted and b"X-Region:" in fields and b"Connection" not in fields)


@pytest.mark.parametrize(("client", "status"), [("10.0.0.1", 0), ("192.0.2.1", 451), ("::ffff:10.0.0.1", 0), ("", 451)])
def test_who_is_let_in_by_region_is_not_let_in_unknown(client: str, status: int) -> None:
    outside = Rule(Condition("not", conditions=(Condition("equals", "region", value="eu"),)), "deny", status=451)
    config = route(REGIONS, outside)
    context = request(client)
    answers = [stage.on_request(context) for stage in build_stages(config, environment(config))]
    assert [answer.status for answer in answers if isinstance(answer, Reply)] == ([status] if status else [])


def test_a_route_without_regions_pays_nothing_and_a_missing_database_is_said_at_once() -> None:
    assert region_stage(route(None), environment(route(None))) is None
    missing = route(Regions(geoip_db="/nowhere.mmdb"))
    with pytest.raises(GeoDatabaseError, match="No such file"):
        region_stage(missing, environment(missing))
    assert isinstance(region_stage(route(Regions()), environment(route(None))), Region)
