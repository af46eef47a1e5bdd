"""The Grafana dashboard is whole: what Grafana would leave empty, or complain of, without saying so in the file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from typing import Any

import pytest
import yaml
from monitoring_files import DASHBOARD, FOLDER, SELECTOR, STRING, metrics, panels, queries, rules

from balance.admin.metrics.catalog import CATALOG

GRAFANA = FOLDER / "grafana"
KINDS = {"row", "timeseries", "stat", "state-timeline", "table"}
UNITS = {"short", "reqps", "cps", "s", "bytes", "Bps", "percentunit"}
BUILT_IN = {"__rate_interval"}
WANTED = (
    "Requests by pool", "Duration", "4xx and 5xx", "Active", "Health", "Circuit breakers", "Retries", "Memory",
    "Event loop lag", "Reloads", "Rate limited", "Certificates", "Ends other than ok", "p99 by backend",
)  # fmt: skip


def provisioned(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((GRAFANA / "provisioning" / name / "balance.yml").read_text())
    return document


def test_the_file_is_what_its_source_makes() -> None:
    made = subprocess.run([sys.executable, str(GRAFANA / "source")], capture_output=True, text=True, check=True)
    assert made.stdout == (GRAFANA / "dashboards" / "balance.json").read_text()


def test_every_panel_has_its_own_id_and_title() -> None:
    ids = [panel["id"] for panel in panels()]
    titles = [panel["title"] for panel in panels()]
    assert len(ids) == len(set(ids)) > 40
    assert len(titles) == len(set(titles))
    assert set(WANTED) <= set(titles)


def test_panels_say_what_they_show_in_which_unit() -> None:
    for panel in panels():
        assert panel["type"] in KINDS, panel["title"]
        if panel["type"] != "row":
            assert len(panel["description"]) > 5, panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


def test_every_query_has_a_letter_of_its_own() -> None:
    for panel in panels():
        letters = [target["refId"] for target in panel.get("targets", ())]
        assert len(letters) == len(set(letters))
        assert letters or panel["type"] == "row", panel["title"]


def test_a_table_has_a_named_column_with_a_unit_for_each_query() -> None:
    for panel in panels():
        if panel["type"] == "table":
            columns = panel["transformations"][1]["options"]["renameByName"]
            letters = [target["refId"] for target in panel["targets"]]
            assert list(columns) == ([f"Value #{letter}" for letter in letters] if len(letters) > 1 else ["Value"])
            overridden = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
            assert set(columns.values()) <= overridden <= set(columns.values()) | {"backend"}


def test_no_panel_lies_on_another() -> None:
    """Those of a closed row are on the page once it is open, and then below it."""
    places = [(panel["title"], panel["gridPos"]) for panel in panels()]
    for (title, one), (other_title, other) in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, f"{title} and {other_title}"
    assert all(place["x"] + place["w"] <= 24 for _, place in places)


def test_the_datasource_is_the_one_that_is_provisioned() -> None:
    (source,) = provisioned("datasources")["datasources"]
    found = [panel["datasource"] for panel in panels() if panel["type"] != "row"]
    found += [target["datasource"] for panel in panels() for target in panel.get("targets", ())]
    found += [each["datasource"] for each in (*DASHBOARD["templating"]["list"], *DASHBOARD["annotations"]["list"])]
    assert all(each == {"type": source["type"], "uid": source["uid"]} for each in found)


def test_nothing_waits_for_an_import_by_hand() -> None:
    text = json.dumps(DASHBOARD)
    assert not {"__inputs", "__requires", "__elements"} & set(DASHBOARD)
    assert "${DS_" not in text
    assert DASHBOARD.get("id") is None  # a number that another dashboard has would overwrite that one
    assert provisioned("dashboards")["providers"][0]["options"]["path"].endswith("/dashboards/balance")


def test_grafana_knows_the_scrape_interval() -> None:
    """$__rate_interval comes from it: where it is shorter than the true one, rates are empty."""
    (source,) = provisioned("datasources")["datasources"]
    prometheus = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    ranges = {found for query in queries() for found in re.findall(r"\[[^\]]*\]", STRING.sub("", query.expr))}
    assert ranges == {"[$__rate_interval]"}


def test_variables_are_there_and_used_so_that_all_of_them_may_be_chosen() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["instance", "pool", "backend"]
    for variable in variables.values():
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")
    texts = [query.expr for query in queries()] + [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    for text in (*texts, *(variable["query"]["query"] for variable in variables.values())):
        for operator, name in re.findall(r'(=~?|!~?)?"?\$\{?(\w+)', text):
            assert name in variables | dict.fromkeys(BUILT_IN), text
            assert name in BUILT_IN or operator == "=~", f"several values are a regular expression: {text}"


def test_process_metrics_are_those_of_balance_alone() -> None:
    """Every program exports process_*, and `instance` may be All."""
    for query in queries():
        if any(name.startswith("process_") for name in metrics(query.expr)):
            assert "and on (job, instance) balance_build_info" in query.expr, query


def test_every_metric_and_label_is_in_the_catalog() -> None:
    """A metric that goes by another name fails here; that it is scraped is shown by the tests against a real Prometheus."""
    known = {definition.name: set(definition.labels) | {"job", "instance"} for definition in CATALOG}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for expr in [query.expr for query in queries()] + [rule["expr"] for rule in rules()]:
        names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics(expr)} - recorded - {"up"}
        assert names <= set(known), expr
        for name, selector in re.findall(rf"([a-zA-Z_:][\w:]*)({SELECTOR.pattern})", expr):
            labels = set(re.findall(r"(\w+)\s*(?:=~|=|!=|!~)", STRING.sub("", selector)))
            assert name in recorded | {"up"} or labels <= known[re.sub(r"_(bucket|count|sum)$", "", name)], expr


def test_grafana_s_own_types_know_each_key() -> None:
    """What they do not know is lost when they have read the dashboard and write it again."""
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(json.dumps(DASHBOARD)))))
    lost = {re.sub(r"\[\d+\]", "", path) for path in differences(DASHBOARD, written)}
    assert lost == {".annotations.list.titleFormat"}  # which Prometheus' datasource adds


def differences(given: Any, written: Any, path: str = "") -> list[str]:
    """Where `written` lacks something, or has another value."""
    if isinstance(given, dict) and isinstance(written, dict):
        return [each for key in given for each in differences(given[key], written.get(key), f"{path}.{key}")]
    if isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        return [each for index in range(len(given)) for each in differences(given[index], written[index], f"{path}[{index}]")]
    return [] if given == written else [path]
