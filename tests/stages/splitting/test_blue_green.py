"""Which side a request goes to."""

from __future__ import annotations

import pytest
from requests_of_users import request

from balance.config.model import HttpConfig
from balance.config.route_model import BlueGreen, RouteConfig, TrafficPolicy
from balance.stages.environment import StageEnvironment
from balance.stages.splitting.blue_green import BlueGreenStage, blue_green_stage

ENVIRONMENT = StageEnvironment("main", HttpConfig(), (), lambda: 0.0)


@pytest.mark.parametrize(
    ("active", "header", "lines", "expected"),
    [
        ("blue", "", [], ("b", "blue_green")),
        ("green", "", [], ("g", "blue_green")),
        ("blue", "", ["X-Side: green"], ("b", "blue_green")),  # the file names no field
        ("blue", "x-side", ["X-Side: green"], ("g", "blue_green.header")),
        ("green", "x-side", ["X-Side: Blue"], ("b", "blue_green.header")),
        ("blue", "x-side", ["X-Side: blue"], ("b", "blue_green.header")),
        ("blue", "x-side", ["X-Side: red"], ("b", "blue_green")),
        ("blue", "x-side", ["X-Side:"], ("b", "blue_green")),
        ("blue", "x-side", ["X-Side: red", "X-Side: green"], ("b", "blue_green")),  # the first counts
        ("blue", "x-side", [], ("b", "blue_green")),
    ],
)
def test_the_active_side_or_the_one_that_is_picked(
    active: str, header: str, lines: list[str], expected: tuple[str, str]
) -> None:
    context = request(*lines)
    BlueGreenStage(BlueGreen("b", "g", active, header)).on_request(context)
    assert (context.pool, context.rule) == expected


def test_what_a_rule_has_chosen_stays() -> None:
    context = request("X-Side: green", pool="other")
    context.rule = "rules[0]"
    BlueGreenStage(BlueGreen("b", "g", "blue", "x-side"), frozenset(["rules[0]"])).on_request(context)
    assert (context.pool, context.rule) == ("other", "rules[0]")


def test_a_route_without_sides_has_no_stage() -> None:
    assert blue_green_stage(RouteConfig("a"), ENVIRONMENT) is None
    route = RouteConfig("a", policy=TrafficPolicy(blue_green=BlueGreen("b", "g")))
    assert isinstance(blue_green_stage(route, ENVIRONMENT), BlueGreenStage)
