"""How a split shares out users."""

from __future__ import annotations

from collections import Counter

import pytest
from requests_of_users import request

from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig, WeightedPool
from balance.model import Why
from balance.stages.environment import StageEnvironment
from balance.stages.splitting.split import SplitStage, split_stage
from balance.stages.stage import Reply

USERS = [f"Cookie: balance-side={number}" for number in range(2000)]

ENVIRONMENT = StageEnvironment("main", HttpConfig(), (), lambda: 0.0)


def split(*weights: int, final: frozenset[str] = frozenset()) -> SplitStage:
    return SplitStage(tuple(WeightedPool(f"v{number}", weight) for number, weight in enumerate(weights, 1)), final)


def pools(stage: SplitStage, users: list[str] = USERS) -> list[str]:
    chosen = []
    for user in users:
        context = request(user)
        assert stage.on_request(context) is None
        assert context.rule == "split"
        chosen.append(context.pool)
    return chosen


def test_shares_are_those_of_the_weights_and_the_same_user_stays() -> None:
    stage = split(70, 20, 10)
    first = pools(stage)
    assert [round(Counter(first)[pool] / 200) for pool in ("v1", "v2", "v3")] == [7, 2, 1]
    assert pools(split(70, 20, 10)) == first


def test_who_is_new_stays_by_the_cookie_that_he_gets() -> None:
    stage = split(1, 1)
    for seed in range(20):
        context = request(seed=seed)
        stage.on_request(context)
        cookie = context.reply_lines.decode().split(";")[0].removeprefix("Set-Cookie: ")
        assert pools(stage, [f"Cookie: {cookie}"]) == [context.pool]


def test_raising_the_second_of_two_moves_nobody_back() -> None:
    before, after = pools(split(90, 10)), pools(split(80, 20))
    assert {(one, other) for one, other in zip(before, after, strict=True)} == {("v1", "v1"), ("v1", "v2"), ("v2", "v2")}


@pytest.mark.parametrize(("weights", "only"), [((0, 1), "v2"), ((1, 0), "v1"), ((0, 0, 3), "v3"), ((1,), "v1")])
def test_weight_zero_gets_nothing_and_nobody_needs_a_cookie_then(weights: tuple[int, ...], only: str) -> None:
    stage = split(*weights)
    assert set(pools(stage)) == {only}
    context = request()
    stage.on_request(context)
    assert (context.pool, context.reply_lines) == (only, b"")


def test_all_of_weight_zero_is_503() -> None:
    answer = split(0, 0).on_request(request())
    assert isinstance(answer, Reply)
    assert (answer.status, answer.why) == (503, Why.NO_HEALTHY)


def test_what_a_rule_has_chosen_stays() -> None:
    context = request(pool="v1")
    context.rule = "rules[0]"
    assert split(0, 1, final=frozenset(["rules[0]"])).on_request(context) is None
    assert (context.pool, context.rule) == ("v1", "rules[0]")
    assert split(0, 1).on_request(context) is None  # a rule that allows
    assert (context.pool, context.rule) == ("v2", "split")


def test_a_route_without_a_split_has_no_stage() -> None:
    assert split_stage(RouteConfig("a"), ENVIRONMENT) is None
    assert isinstance(split_stage(RouteConfig("a", split=(WeightedPool("v1"),)), ENVIRONMENT), SplitStage)
