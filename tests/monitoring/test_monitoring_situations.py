"""What hurt users of other proxies' dashboards and alerts: situations of the field checklist and reports, and their tests."""

from __future__ import annotations

import ast
from pathlib import Path

import yaml
from monitoring_files import FOLDER

DASHBOARD, RULES, LIVE = "test_monitoring_dashboard", "test_monitoring_rules", "test_monitoring_live"
# Names of tests of promtool begin with the alert's; the others are functions of the three files here.
SITUATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "21": ("the first error ever is invisible to rate()", (
        "BalanceHighErrorRate fires: the first errors ever come in one burst between two scrapes",)),
    "22": ("an idle service divides 0 by 0; a target that is gone fires nothing", (
        "BalanceHighErrorRate is silent: nobody asks, 0 of 0",
        "BalanceTargetAbsent fires: the job has no target, as after a change of prometheus.yml",
        f"{RULES}::every_denominator_is_guarded")),
    "23, grafana#10786, envoyproxy/gateway#7219": ("a dashboard for imports that was loaded from a file", (
        f"{DASHBOARD}::nothing_waits_for_an_import_by_hand",
        f"{DASHBOARD}::the_datasource_is_the_one_that_is_provisioned")),
    "haproxy_exporter#93, haproxy#255": ("planned maintenance looks like a failure", (
        "BalanceBackendDown is silent: drained for maintenance",
        "BalanceAllBackendsDown is silent: operators took the whole pool out, the idle side of blue and green",
        f"{LIVE}::alerts_fire_under_faults")),
    "sighupio/module-monitoring#211": ("an alert on the highest number ever, which never ends", (
        "BalanceHighConnections is silent: a listener without a limit, and a rush that was over in a minute",
        f"{LIVE}::alerts_end_when_all_is_well")),
    "sighupio/module-ingress#185": ("each replica tells of the same backend, also of one that is back", (
        "BalanceBackendDown is silent: it restarts, and is back within a minute",
        f"{RULES}::amtool_accepts_the_example_for_alertmanager",
        f"{LIVE}::operators_are_told_of_a_pool_that_is_down_once")),
    "traefik#10691, #6414, #11614": ("metrics have other names than the dashboard's", (
        f"{DASHBOARD}::every_metric_and_label_is_in_the_catalog",
        f"{LIVE}::every_metric_and_label_that_is_named_is_scraped")),
    "traefik#8606, #12416": ("a certificate that was renewed, or taken away, still expires", (
        "BalanceCertificateExpiry is silent: the renewed file is served, under the same labels",
        "BalanceCertificateExpiry is silent: no TLS, and a certificate that a reload has taken away",
        f"{LIVE}::alerts_end_when_all_is_well")),
    "awesome-prometheus-alerts#327": ("a certificate that has expired is no longer told of", (
        "BalanceCertificateExpiry fires: it has expired already, and a revocation list ends in an hour",)),
    "caddy#5496": ("a backend that was removed while it was down is down for ever", (
        "BalanceAllBackendsDown is silent: the pool was removed by a reload while it was down",
        f"{LIVE}::alerts_end_when_all_is_well")),
    "ingress-nginx#2884, linkerd2#9509, grafana/jsonnet-libs#916": ("rates over less than two scrapes", (
        f"{DASHBOARD}::grafana_knows_the_scrape_interval",
        "BalanceHighErrorRate fires: scraped once a minute only")),
    "istio#8969, prometheus#2662, grafana#59862": ("NaN where there is no traffic", (
        f"{LIVE}::an_idle_instance_gives_numbers_or_nothing",)),
    "grafana/tempo#7715, etcd#10629": ("a part of nothing is infinite, above each threshold", (
        f"{RULES}::every_denominator_is_guarded",)),
    "grafana#6888, #8683, #59251": ("names with dots and brackets in variables", (
        f"{DASHBOARD}::variables_are_there_and_used_so_that_all_of_them_may_be_chosen",
        f"{LIVE}::every_panel_has_data_for_single_backends")),
    "cortex-jsonnet#361": ("queries that know the name of a job", (
        f"{RULES}::only_what_asks_for_targets_knows_the_name_of_the_job",)),
    "openshift/cluster-ingress-operator#397": ("a failed reload that is counted, and never mended", (
        "BalanceConfigReloadFailed is silent: the next reload was good",)),
}  # fmt: skip


def test_every_test_of_a_situation_is_there() -> None:
    functions = {
        f"{file.stem}::{node.name.removeprefix('test_')}"
        for file in Path(__file__).parent.glob("test_*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    promtool = {
        test["name"]
        for file in (FOLDER / "tests").glob("*.yml")
        for test in yaml.load(file.read_text(), yaml.CSafeLoader)["tests"]
    }
    named = {(situation, test) for situation, (_, tests) in SITUATIONS.items() for test in tests}
    assert {(situation, test) for situation, test in named if test not in functions | promtool} == set()
