"""/autoscaler, in the forms that people, KEDA and HPAs read, and its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from asgi_client import Answer, ask
from fake_instance import FakeInstance

from balance.admin.application import admin_app
from balance.admin.autoscaling.documents import quantity
from balance.admin.autoscaling.state import AutoscalerView
from balance.autoscaling.decision import Action, Decision, Reason
from balance.autoscaling.settings import AutoscalerConfig

CONFIG = AutoscalerConfig(enabled=True, driver="exec", command=("x",), min=2, max=9, target=20.0)
UP = Decision(Action.UP, Reason.LOAD, "70.5 requests: 4 are needed", 2, 3, 4, 70.5)


def view(**given: Any) -> AutoscalerView:
    return AutoscalerView(
        **({"pool": "app", "config": CONFIG, "decision": UP, "members": 2, "ready": 2, "leads": True} | given)
    )


def get(path: str, *views: AutoscalerView) -> Answer:
    instance = FakeInstance()
    instance.view.autoscalers = lambda: views
    return ask(admin_app(instance.view, is_local_only=True), path)


def test_it_says_what_it_does_and_why() -> None:
    (found,) = get("/autoscaler", view()).json["pools"]
    assert {key: found[key] for key in ("pool", "state", "current", "desired", "recommended", "action", "reason", "why")} == {
        "pool": "app", "state": "leading", "current": 2, "desired": 3, "recommended": 4, "action": "up", "reason": "load",
        "why": "70.5 requests: 4 are needed",
    }  # fmt: skip
    assert get("/autoscaler").json == {"pools": []}


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({"leads": False}, "following"),
        ({"problem": "Redis is gone"}, "held"),
        ({"decision": None}, "starting"),
        ({"is_crashing": True}, "crash_loop"),
        ({"config": AutoscalerConfig(enabled=True, dry_run=True)}, "dry_run"),
    ],
)
def test_a_state_is_one_word(given: dict[str, Any], state: str) -> None:
    assert get("/autoscaler", view(**given)).json["pools"][0]["state"] == state


def test_keda_reads_a_number_by_its_path() -> None:
    """metrics-api: `valueLocation: value`, or recommended, which has our bounds and window in it."""
    answer = get("/autoscaler/app", view())
    assert answer.status == 200
    assert (answer.json["value"], answer.json["recommended"], answer.json["target"]) == (70.5, 4, 20.0)


def test_the_page_s_trigger_of_keda_finds_the_number_and_the_target() -> None:
    page = (Path(__file__).parents[3] / "docs" / "AUTOSCALING.md").read_text()
    (trigger,) = yaml.safe_load(page.partition("```yaml keda\n")[2].partition("```")[0])
    about = trigger["metadata"]
    assert trigger["type"] == "metrics-api"
    answer = get(urlsplit(about["url"]).path, view(pool="web")).json
    assert answer[about["valueLocation"]] == 70.5 and float(about["targetValue"]) == answer["target"]


@pytest.mark.parametrize("given", [{"decision": None}, {"problem": "Redis is gone"}])
def test_a_number_that_is_not_known_is_no_number(given: dict[str, Any]) -> None:
    """S40, keda#1850: an error, which scalers hold by, and never a 0."""
    answer = get("/autoscaler/app", view(**given))
    assert (answer.status, bool(answer.json["error"])) == (503, True)
    assert get("/autoscaler/app/external-metric", view(**given)).status == 503


@pytest.mark.parametrize(("metric", "value"), [("", "70500m"), ("?metric=recommended", "4"), ("?metric=ready", "2")])
def test_an_hpa_reads_an_external_metric(metric: str, value: str) -> None:
    document = get(f"/autoscaler/app/external-metric{metric}", view()).json
    assert (document["kind"], document["apiVersion"]) == ("ExternalMetricValueList", "external.metrics.k8s.io/v1beta1")
    (item,) = document["items"]
    assert (item["value"], item["metricLabels"]) == (value, {"pool": "app"})
    assert item["timestamp"].endswith("Z") and item["metricName"].startswith("balance_autoscaler_")


def test_what_there_is_not_is_said() -> None:
    assert "pools that have one: app" in get("/autoscaler/other", view()).json["error"]
    assert get("/autoscaler/app/external-metric?metric=cpu", view()).status == 400


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (3.0, "3"), (70.5, "70500m"), (0.0004, "0m"), (1e9, "1000000000")])
def test_quantities(value: float, text: str) -> None:
    assert quantity(value) == text


def test_metrics() -> None:
    text = get("/metrics", view(decisions={"up": 2}, errors={"fenced": 1})).text
    for line in (
        'balance_autoscaler_desired{pool="app"} 3.0',
        'balance_autoscaler_current{pool="app"} 2.0',
        'balance_autoscaler_recommended{pool="app"} 4.0',
        'balance_autoscaler_max{pool="app"} 9.0',
        'balance_autoscaler_value{pool="app"} 70.5',
        'balance_autoscaler_leader{pool="app"} 1.0',
        'balance_autoscaler_decisions_total{action="up",pool="app"} 2.0',
        'balance_autoscaler_errors_total{kind="fenced",pool="app"} 1.0',
    ):
        assert line in text, line
    assert "balance_autoscaler" not in get("/metrics").text
    assert "balance_autoscaler_value{" not in get("/metrics", view(problem="Redis is gone")).text
