"""Who goes to the canary."""

from __future__ import annotations

from itertools import pairwise

import pytest
from requests_of_users import request

from balance.config.model import HttpConfig
from balance.config.route_model import Canary, Condition, RouteConfig, Rule, TrafficPolicy, ValueMatch
from balance.stages.environment import StageEnvironment
from balance.stages.splitting.canary import CanaryStage, canary_stage
from balance.stages.stage import Stage

USERS = [f"Cookie: balance-side={number}" for number in range(1000)]
HEADER = ValueMatch("x-canary", "present")
COOKIE = ValueMatch("tester", "equals", "yes")

ENVIRONMENT = StageEnvironment("main", HttpConfig(), (), lambda: 0.0)


def canary(percent: float = 0, **keys: object) -> CanaryStage:
    return CanaryStage(Canary("v2", percent, **keys))  # type: ignore[arg-type]


def is_over(stage: Stage, *lines: str, **given: object) -> bool:
    context = request(*lines, **({"pool": "v1"} | given))  # type: ignore[arg-type]
    assert stage.on_request(context) is None
    assert (context.pool, context.rule) in [("v1", ""), ("v2", "canary")]
    return context.pool == "v2"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        (["X-Canary: 1"], True),
        (["X-Canary:"], True),
        (["X-Canaries: 1"], False),
        (["Cookie: tester=yes"], True),
        (["Cookie: tester=no"], False),
        (["Cookie: tester=no; tester=yes"], False),  # of a repeated one the first counts
        (["Cookie: other=1; tester=yes"], True),
        (["X-Canary: 1", "Cookie: tester=no"], True),
    ],
)
def test_who_asks_for_it_goes_there_whatever_the_percent(lines: list[str], expected: bool) -> None:
    assert is_over(canary(header=HEADER, cookie=COOKIE), *lines) is expected


def test_a_ramp_moves_nobody_back_and_a_user_stays() -> None:
    over = [{user for user in USERS if is_over(canary(percent), user)} for percent in (0, 10, 20, 50, 100)]
    assert all(before <= after for before, after in pairwise(over))
    assert [round(len(each), -2) for each in over] == [0, 100, 200, 500, 1000]
    assert over[1] == {user for user in USERS if is_over(canary(10), user)}


def test_another_salt_takes_other_users() -> None:
    one, other = ({user for user in USERS if is_over(canary(10, salt=salt), user)} for salt in ("", "b"))
    assert len(one & other) < 30


@pytest.mark.parametrize("key", ["cookie:user", "header:x-user", "client-ip"])
def test_the_same_key_is_on_the_same_side_wherever_the_request_comes_from(key: str) -> None:
    stage, sides = canary(50, key=key), {}
    for number in range(50):
        lines = [f"Cookie: user={number}", f"X-User: {number}"]
        sides[number] = {is_over(stage, *lines, client=f"10.0.0.{number}", seed=seed) for seed in range(5)}
    assert all(len(each) == 1 for each in sides.values())
    assert {side for each in sides.values() for side in each} == {True, False}


def test_users_of_both_sides_are_pinned() -> None:
    stage, sides = canary(50), set()
    for seed in range(30):
        context = request(pool="v1", seed=seed)
        stage.on_request(context)
        cookie = context.reply_lines.decode().split(";")[0].removeprefix("Set-Cookie: ")
        assert {is_over(stage, f"Cookie: {cookie}") for _ in range(3)} == {context.pool == "v2"}
        sides.add(context.pool)
    assert sides == {"v1", "v2"}


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        (canary(0), ""),
        (canary(100), ""),
        (canary(50, sticky=False), ""),
        (canary(50, key="cookie:user"), "Cookie: user=1"),
        (canary(50, header=HEADER), "X-Canary: 1"),
    ],
)
def test_no_cookie_is_set_where_none_decides(stage: CanaryStage, line: str) -> None:
    context = request(*([line] if line else []), pool="v1")
    stage.on_request(context)
    assert context.reply_lines == b""


def test_without_a_key_and_a_cookie_each_request_is_drawn() -> None:
    over = sum(is_over(canary(20, sticky=False), "Cookie: balance-side=1", seed=seed) for seed in range(500))
    assert 60 < over < 140


ROUTING = Rule(Condition("exists"), "route", name="internal", pool="v1")
ALLOWING = Rule(Condition("exists"), "allow", name="known")


@pytest.mark.parametrize(
    ("pool", "rule", "expected"),
    [
        ("v1", "", "v2"),
        ("v1", "known", "v2"),
        ("v3", "split", "v2"),
        ("green", "blue_green", "v2"),
        ("green", "blue_green.header", "green"),  # the request has picked its side
        ("v1", "internal", "v1"),
        ("v3", "internal", "v3"),
    ],
)
def test_it_takes_users_out_of_what_the_route_has_chosen_but_not_out_of_what_a_rule_has(
    pool: str, rule: str, expected: str
) -> None:
    assert (
        _pool_after(RouteConfig("a", policy=TrafficPolicy(canary=Canary("v2", 100), rules=(ROUTING, ALLOWING))), pool, rule)
        == expected
    )


def _pool_after(route: RouteConfig, pool: str, rule: str) -> str:
    stage = canary_stage(route, ENVIRONMENT)
    assert stage is not None
    context = request(pool=pool)
    context.rule = rule
    stage.on_request(context)
    return context.pool


def test_a_route_without_a_canary_has_no_stage() -> None:
    assert canary_stage(RouteConfig("a"), ENVIRONMENT) is None
