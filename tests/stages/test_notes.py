"""What is remembered of field lines is never taken for a request that differs in what is not among them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from contexts import request_context

from balance.config.model import HttpConfig
from balance.config.route_model import (
    Canary,
    Condition,
    HeaderChange,
    Redirect,
    Rewrite,
    RouteConfig,
    RouteMatch,
    Rule,
    TrafficPolicy,
    Transform,
    ValueMatch,
    WeightedPool,
)
from balance.http1.head import RequestFields
from balance.http1.request import parse_fields
from balance.stages import build_stages
from balance.stages.environment import StageEnvironment
from balance.stages.notes import MAX_NOTES, note
from balance.stages.request_context import RequestContext
from balance.stages.stage import Reply, Stage

LINES = (
    b"Host: shop.example\r\nUser-Agent: x\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Prefix: /outer\r\n"
    b"Cookie: tester=yes; user=7\r\n"
)
OF_A_KNOWN_USER = LINES + b"Cookie: balance-side=7\r\n"
# All pairs of requests with these lines
CLIENTS = ("192.0.2.1", "10.0.0.1")
TRUST = (False, True)
METHODS = (b"GET", b"POST")
TARGETS = (b"/", b"/old/a", b"/new?role=admin")
SCHEMES = ("http", "https")
REGIONS = ("", "eu")


def fields(lines: bytes = LINES) -> RequestFields:
    return parse_fields(b"\n" + lines + b"\r\n", 1, HttpConfig())


def contexts(shared: RequestFields | None, lines: bytes = LINES) -> list[RequestContext]:
    """Requests that have nothing but their lines in common; parsed once, or each time."""
    made = []
    for seed, (client, is_trusted, method, target, scheme, region) in enumerate(
        itertools.product(CLIENTS, TRUST, METHODS, TARGETS, SCHEMES, REGIONS)
    ):
        own = shared if shared is not None else fields(lines)
        context = request_context(target, own.forward, client=client, is_trusted=is_trusted, method=method, scheme=scheme)
        context.fields, context.forward, context.region, context.pool = own, own.forward, region, "p"
        context.rand = random.Random(seed).random
        made.append(context)
    return made


def outcomes(stages: Sequence[Stage], requests: Sequence[RequestContext]) -> list[object]:
    found: list[object] = []
    for context in requests:
        answer = None
        for stage in stages:
            answer = stage.on_request(context)
            if answer is not None:
                break
        said = (answer.status, answer.lines) if isinstance(answer, Reply) else None
        seen = (context.pool, context.rule, context.path, context.query, context.forward, context.reply_lines)
        found.append((said, *seen, context.without_own, context.host_to_backend, context.removed_prefix))
    return found


def rules(*conditions: Condition, **more: object) -> TrafficPolicy:
    made = [Rule(condition, "deny") for condition in conditions]
    made += [Rule(condition, "route", pool="v2") for condition in conditions]
    return TrafficPolicy(rules=(*made, Rule(Condition("all"), "allow")), **more)  # type: ignore[arg-type]


def exists(subject: str, name: str = "") -> Condition:
    return Condition("exists", subject, name, True)


def equals(subject: str, value: str, name: str = "") -> Condition:
    return Condition("equals", subject, name, value)


STRIPPED = Transform(strip_prefix="/old", request_headers=(HeaderChange("set", "X-Team", "a"),))
POLICIES = {
    "header": rules(equals("header", "y", "user-agent")),
    "header of a trusted proxy": rules(exists("header", "x-forwarded-for")),
    "cookie": rules(equals("cookie", "7", "user")),
    "method": rules(equals("method", "POST")),
    "method that is allowed": TrafficPolicy(rules=(Rule(equals("method", "POST"), "route", pool="v2"),)),
    "client": rules(Condition("cidr", "client_ip", value=("10.0.0.0/8",))),
    "path": rules(Condition("prefix", "path", value="/old")),
    "query": rules(equals("query", "admin", "role")),
    "scheme": rules(equals("scheme", "https")),
    "region": rules(equals("region", "eu")),
    "nested": rules(
        Condition("any", conditions=(exists("header", "x-no"), Condition("not", conditions=(equals("path", "/"),))))
    ),
    "redirect": TrafficPolicy(rules=(Rule(Condition("all"), "redirect", redirect=Redirect(to="/new")),)),
    "canary by header": TrafficPolicy(canary=Canary("v2", 50, key="header:user-agent")),
    "canary by a proxy's header": TrafficPolicy(canary=Canary("v2", 50, key="header:x-forwarded-for")),
    "canary by a proxy's word": TrafficPolicy(canary=Canary("v2", 0, header=ValueMatch("x-forwarded-for", "present"))),
    "canary by cookie": TrafficPolicy(canary=Canary("v2", 0, cookie=ValueMatch("tester", "equals", "yes"))),
    "canary by address": TrafficPolicy(canary=Canary("v2", 50, key="client-ip")),
    "canary by our cookie": TrafficPolicy(canary=Canary("v2", 50)),
    "canary by chance": TrafficPolicy(canary=Canary("v2", 50, sticky=False)),
    "canary behind a rule": rules(equals("method", "PUT"), canary=Canary("v3", 100)),
}
TRANSFORMS = {
    "fixed": Transform(request_headers=(HeaderChange("set", "X-Team", "a"), HeaderChange("remove", "user-agent"))),
    "with variables": Transform(request_headers=(HeaderChange("set", "X-Client", "{client_ip} {scheme} {region}"),)),
    "stripped": STRIPPED,
    "stripped and added": Transform(strip_prefix="/old", add_prefix="/v1"),
    "rewritten": Transform(rewrite=(Rewrite("^/old/(.*)$", "/then/$1"),)),
}


def agree(route: RouteConfig) -> None:
    environment = StageEnvironment("main", HttpConfig(), (route,), lambda: 0.5)
    for lines in (LINES, OF_A_KNOWN_USER):
        apart = outcomes(build_stages(route, environment), contexts(None, lines))
        shared = fields(lines)
        stages = build_stages(route, environment)
        assert outcomes(stages, contexts(shared)) == apart
        assert outcomes(stages, contexts(shared)) == apart  # all of them are known now


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_rules_and_policies(policy: TrafficPolicy) -> None:
    agree(RouteConfig("r", RouteMatch(), "p", policy=policy))
    agree(RouteConfig("r", RouteMatch(), "p", policy=policy, transform=STRIPPED))


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("host", ["preserve", "app.internal"])
def test_changes(transform: Transform, host: str) -> None:
    agree(RouteConfig("r", RouteMatch(), "p", transform=transform, host=host))


def test_users_of_a_split() -> None:
    agree(RouteConfig("r", RouteMatch(), "", split=(WeightedPool("a"), WeightedPool("b"))))


def test_the_requests_differ() -> None:
    """Else the above would hold whatever is remembered."""
    for name in ("method", "client", "path", "query", "scheme", "region", "header of a trusted proxy", "canary by address"):
        route = RouteConfig("r", RouteMatch(), "p", policy=POLICIES[name])
        stages = build_stages(route, StageEnvironment("main", HttpConfig(), (route,), lambda: 0.5))
        assert len({(found[0], found[1]) for found in outcomes(stages, contexts(fields()))}) > 1, name  # type: ignore[index]


def test_two_routes_note_apart() -> None:
    shared = fields()
    for pool in ("v2", "v3"):
        route = RouteConfig("r", RouteMatch(), "p", policy=TrafficPolicy(canary=Canary(pool, 100)))
        stages = build_stages(route, StageEnvironment("main", HttpConfig(), (route,), lambda: 0.5))
        assert {found[1] for found in outcomes(stages, contexts(shared))} == {pool}  # type: ignore[index]


def test_notes_are_bounded() -> None:
    shared = fields()
    route = RouteConfig("r", RouteMatch(), "p", policy=POLICIES["method"])
    stages = build_stages(route, StageEnvironment("main", HttpConfig(), (route,), lambda: 0.5))
    for number in range(3 * MAX_NOTES):
        context = contexts(shared)[0]
        context.method = b"M%d" % number
        outcomes(stages, [context])
        assert shared.notes is not None and len(shared.notes) <= MAX_NOTES


def test_what_is_noted_last_is_there() -> None:
    shared = fields()
    for number in range(3 * MAX_NOTES):
        note(shared, number, -number)
        assert shared.notes is not None and shared.notes[number] == -number
