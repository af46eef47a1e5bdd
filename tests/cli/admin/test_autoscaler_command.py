"""`balance autoscaler`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from balance.admin.autoscaling.state import AutoscalerView
from balance.autoscaling.decision import Action, Decision, Reason
from balance.autoscaling.settings import AutoscalerConfig

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scaled(instance: Any) -> None:
    config = AutoscalerConfig(enabled=True, driver="exec", min=2, max=9)
    decision = Decision(Action.UP, Reason.LOAD, "4 are needed", 2, 3, 4, 70.0)
    instance.fake_instance.view.autoscalers = lambda: [
        AutoscalerView("app", config, decision, 2, 2, leads=True),
        AutoscalerView("raw", config, None, 1, 0),
    ]


def test_a_line_a_pool_and_why(say: Say, scaled: None) -> None:
    status, out, err = say("autoscaler")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["POOL", "STATE", "NOW", "TO", "BE", "BOUNDS", "READY", "METRIC", "VALUE", "TARGET", "DRIVER"]
    assert lines[1].split() == ["app", "leading", "2", "3", "2..9", "2", "requests", "70.0", "20.0", "exec"]
    assert lines[3:] == ["app: 4 are needed", "raw: nothing was decided yet"]


def test_one_pool_also_while_its_metric_is_not_known(say: Say, scaled: None) -> None:
    assert "nothing was decided yet" in say("autoscaler", "raw")[1]
    assert json.loads(say("autoscaler", "app", "--json")[1])["recommended"] == 4
    status, _, err = say("autoscaler", "nobody")
    assert status and "pools that have one: app, raw" in err


def test_where_there_is_none_it_says_so(say: Say) -> None:
    assert say("autoscaler") == (0, "no pool has an autoscaler: write autoscaler: {enabled: true, ...}\n", "")
