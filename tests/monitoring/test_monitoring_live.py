"""Dashboard and rules against a real Prometheus that scrapes a real instance: idle, under load, under faults, gone.

One Prometheus and one instance for all, so it is one test: its steps follow each other, as the states of an instance do.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator

import pytest
from alertmanager_process import Alertmanager
from instance_process import until
from monitored_instance import ODD, Monitored
from monitoring_files import DASHBOARD, SELECTOR, STRING, Query, metrics, queries, rules
from prometheus_process import Prometheus, scaled

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

MINUTE_S = 60.0
ALL = {"instance": ".*", "pool": ".*", "backend": ".*"}
# What a condition is compared with: without it an alert's expression gives what it looks at.
THRESHOLD = re.compile(r"(?<!bool) (?:>=|>|<|==) (?:[\d.]+)(?: \* \d+)?(?!\))(?=\s|$)")
# These need what does not fit into seconds; their expressions are evaluated without the thresholds.
NOT_FOR_REAL = {"BalanceHighMemoryUsage", "BalanceHighEventLoopLag"}
AFTERWARDS = {"BalanceDown", "BalanceTargetAbsent"}
# What a busy machine alone may bring; and the certificate, which ends in two days.
BUSY = {"BalanceDown", "BalanceHighEventLoopLag", "BalanceHighLatency"}
ANYWAY = {*BUSY, "BalanceCertificateExpiry"}
UNDER_FAULTS = {
    "BalanceAllBackendsDown", "BalanceBackendDown", "BalanceCertificateExpiry", "BalanceCircuitBreakerOpen",
    "BalanceConfigReloadFailed", "BalanceHighConnections", "BalanceHighErrorRate", "BalanceHighLatency",
    "BalanceHighRetryRate", "BalanceDiscoveryStale",
}  # fmt: skip

WITHOUT_TRAFFIC = {
    "5xx", "p99", "Duration", "p99 by pool", "Share of 5xx by pool", "Ends other than ok", "Size of replies",
    "Size of requests", "Backends now", "Retries", "p50 by backend", "p95 by backend", "p99 by backend", "4xx and 5xx",
    "Statuses by backend", "Handshakes", "Failed handshakes",
}  # fmt: skip
# Without metrics of single backends.
BY_BACKEND = {"p50 by backend", "p95 by backend", "p99 by backend", "Backends now"}
# Statuses other than 200, circuit breakers, passive checks, TCP.
NOT_IN_THE_POOL = {
    "4xx and 5xx", "Circuit breakers", "Failures told to breakers", "Breakers opened, backends ejected",
    "Connections and TCP sessions",
}  # fmt: skip


@pytest.fixture
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    instance = Monitored(tmp_path_factory.mktemp("balance"))
    yield instance
    instance.stop()


@pytest.fixture
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    started = Alertmanager(tmp_path_factory.mktemp("alertmanager"))
    yield started
    started.stop()


@pytest.fixture
def prometheus(
    monitored: Monitored, alertmanager: Alertmanager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    started = Prometheus(tmp_path_factory.mktemp("prometheus"), monitored.target, alertmanager.address)
    # All start at the same time: Prometheus thinks for five seconds before its first scrape.
    monitored.instance.ready()
    alertmanager.ready()
    yield started.ready()
    started.stop()


def chosen(*values: str) -> str:
    """As Grafana writes one or several values of a variable into a query for Prometheus."""
    escaped = [re.sub(r"([$^*{}\[\]'+?.()|])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def asked(expr: str, variables: dict[str, str]) -> str:
    """The expression as Grafana sends it, an hour being a minute."""
    filled = re.sub(r"\$(instance|pool|backend)\b", lambda found: variables[found[1]], expr)
    return filled.replace("$__rate_interval", "4s")


class Asking:
    """Asks each query until it gives something; each value that there is must be a number."""

    def __init__(self, prometheus: Prometheus, variables: dict[str, str], needs_labels: bool = True) -> None:
        self._prometheus = prometheus
        self._variables = variables
        self._left = queries()
        self._needs_labels = needs_labels

    def panels_without_data(self) -> set[str]:
        """Those of which a query has given nothing so far."""
        self._left = [query for query in self._left if not self._gives_data(query)]
        return {query.panel for query in self._left}

    def _gives_data(self, query: Query) -> bool:
        """Where asked for, with every label that its legend names."""
        samples = self._prometheus.query(asked(query.expr, self._variables))
        values = [float(sample["value"][1]) for sample in samples]
        assert all(map(math.isfinite, values)), f"{query}: {values}"
        named = re.findall(r"{{(\w+)}}", query.legend) if self._needs_labels else []
        return bool(values) and all(any(sample["metric"].get(label) for sample in samples) for label in named)

    def __str__(self) -> str:
        return "\n".join(f"{query.panel}: {query.expr}" for query in self._left)


def eventually(prometheus: Prometheus, condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Within MINUTE_S, as a scrape that comes late makes alerts begin anew; Prometheus was able to evaluate every rule."""
    deadline = time.monotonic() + MINUTE_S
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
    assert prometheus.unhealthy_rules() == []


def an_idle_instance_gives_numbers_or_nothing(monitored: Monitored, prometheus: Prometheus) -> None:
    asking = Asking(prometheus, ALL)
    eventually(prometheus, lambda: asking.panels_without_data() <= WITHOUT_TRAFFIC, asking.__str__)
    assert set(prometheus.firing()) <= ANYWAY


def every_panel_has_data_under_load(monitored: Monitored, prometheus: Prometheus) -> None:
    monitored.load()
    asking = Asking(prometheus, ALL)
    eventually(prometheus, lambda: not asking.panels_without_data(), asking.__str__)


def every_panel_has_data_for_single_backends(monitored: Monitored, prometheus: Prometheus) -> None:
    """Names with brackets, dots and a plus, which mean something in a regular expression; several names at once."""
    instance = chosen(monitored.target)
    one = {"instance": instance, "pool": "app", "backend": chosen(ODD)}
    several = {"instance": instance, "pool": chosen("app", "shaky"), "backend": chosen("one", ODD, "shaky")}
    for variables in (one, several):
        asking = Asking(prometheus, variables)
        eventually(prometheus, lambda asking=asking: asking.panels_without_data() <= NOT_IN_THE_POOL, asking.__str__)
    (health,) = [query for query in queries() if query.panel == "Health"]
    assert {sample["metric"]["backend"] for sample in prometheus.query(asked(health.expr, one))} == {ODD}
    assert {sample["metric"]["backend"] for sample in prometheus.query(asked(health.expr, several))} == {"one", ODD, "shaky"}


def every_metric_and_label_that_is_named_is_scraped(prometheus: Prometheus) -> None:
    variables = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"]]
    exprs = [query.expr for query in queries()] + [rule["expr"] for rule in rules()] + variables
    exprs += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for expr in exprs:
        for name in metrics(expr) - recorded - set(ALL):
            assert prometheus.query(f"last_over_time({name}[20s])"), f"there is no {name}: {expr}"
        for name, selector in re.findall(rf"([a-zA-Z_:][\w:]*)({SELECTOR.pattern})", expr):
            for label in re.findall(r"(\w+)\s*(?:=~|=|!=|!~)", STRING.sub("", selector)):
                seen = f'last_over_time({name}{{{label}!=""}}[20s])'
                assert name in recorded or prometheus.query(seen), f"{name} has no {label}: {expr}"


def a_reload_is_seen_as_an_annotation(monitored: Monitored, prometheus: Prometheus) -> None:
    reload, restart = (asked(each["expr"], ALL).replace("[4s]", "[20s]") for each in DASHBOARD["annotations"]["list"])
    assert prometheus.query(reload) == prometheus.query(restart) == []
    monitored.document["pools"]["app"]["backends"][0]["weight"] = 2
    monitored.reload()
    eventually(prometheus, lambda: prometheus.query(reload), lambda: monitored.instance.log)
    assert prometheus.query(restart) == []


def alerts_fire_under_faults(monitored: Monitored, prometheus: Prometheus) -> None:
    assert set(prometheus.firing()) <= ANYWAY
    monitored.two.stop()
    monitored.fragile.is_failing = monitored.shaky.is_failing = True
    monitored.is_slow = True
    monitored.fill()
    monitored.find('["half of a li')
    monitored.reload(no_such_key=1)
    monitored.order("app/spare", "drain")
    eventually(prometheus, lambda: set(prometheus.firing()) >= UNDER_FAULTS, prometheus.firing)
    firing = prometheus.firing()
    assert set(firing) <= UNDER_FAULTS | ANYWAY

    def told(name: str, label: str) -> set[str]:
        return {alert["labels"].get(label, "") for alert in firing[name]}

    assert told("BalanceBackendDown", "backend") == {ODD}  # and not `spare`, which was drained
    assert told("BalanceAllBackendsDown", "pool") == {"fragile"}
    assert told("BalanceCircuitBreakerOpen", "backend") == {"fragile"}
    assert told("BalanceHighErrorRate", "pool") <= {"fragile", ""}
    assert told("BalanceHighRetryRate", "pool") >= {"shaky"}
    assert told("BalanceHighLatency", "pool") >= {"slow"}
    assert told("BalanceHighConnections", "listener") >= {"bytes"}
    assert told("BalanceDiscoveryStale", "pool") == {"found"}
    for name, alerts in firing.items():
        for alert in alerts:
            text = " ".join(alert["annotations"].values())
            assert not re.search("no value|error expanding|NaN|Inf", text), f"{name}: {text}"


def operators_are_told_of_a_pool_that_is_down_once(alertmanager: Alertmanager) -> None:
    told = alertmanager.receiver.told
    until(lambda: [each for each in told() if each["labels"]["alertname"] == "BalanceAllBackendsDown"], lambda: f"{told()}")
    until(lambda: ("BalanceCircuitBreakerOpen", "fragile") in alertmanager.inhibited(), lambda: f"{alertmanager.inhibited()}")
    assert {pool for _, pool in alertmanager.inhibited()} == {"fragile"}
    until(lambda: [each for each in told() if each["labels"].get("backend") == ODD], lambda: f"{told()}")


def every_rule_gives_data(prometheus: Prometheus) -> None:
    for rule in rules():
        expr = scaled(rule["expr"]).replace("offset 60000ms", "")  # an hour ago there was nothing
        name = rule.get("record") or rule["alert"]
        if name in NOT_FOR_REAL:
            expr = THRESHOLD.sub("", expr)
        if name not in AFTERWARDS:
            eventually(prometheus, lambda expr=expr: prometheus.values(expr), lambda expr=expr: expr)
            values = prometheus.values(expr)
            assert all(map(math.isfinite, values)), name


def alerts_end_when_all_is_well(monitored: Monitored, prometheus: Prometheus) -> None:
    """A backend that was removed while it was down is no longer told of, nor is a certificate that was renewed."""
    backends = monitored.document["pools"]["app"]["backends"]
    backends[:] = [backend for backend in backends if backend["name"] != ODD]
    monitored.fragile.is_failing = monitored.shaky.is_failing = monitored.is_slow = False
    monitored.leave()
    monitored.find(json.dumps([monitored.third.address]))
    monitored.serve_certificate(days=90)
    monitored.reload()
    monitored.order("app/spare", "enable")
    eventually(prometheus, lambda: set(prometheus.firing()) <= BUSY, prometheus.firing)


def panels_have_data_whatever_histograms_there_are(
    monitored: Monitored, prometheus: Prometheus, histograms: str, gone: str, empty: set[str]
) -> None:
    monitored.reload(metrics={"backend_histograms": histograms})
    before = f'count_over_time(balance_http_request_duration_seconds_count{{{gone}!=""}}[4s])'
    eventually(prometheus, lambda: not prometheus.query(before), lambda: before)
    asking = Asking(prometheus, ALL, needs_labels=False)
    eventually(prometheus, lambda: asking.panels_without_data() <= empty, asking.__str__)


def an_instance_that_is_gone_is_told_of(monitored: Monitored, prometheus: Prometheus) -> None:
    monitored.kill()
    eventually(prometheus, lambda: set(prometheus.firing()) == {"BalanceDown"}, prometheus.firing)


def a_job_that_was_lost_is_told_of(prometheus: Prometheus) -> None:
    prometheus.forget_target()
    eventually(prometheus, lambda: set(prometheus.firing()) == {"BalanceTargetAbsent"}, prometheus.firing)


def test_dashboard_and_alerts_through_the_life_of_an_instance(
    monitored: Monitored, alertmanager: Alertmanager, prometheus: Prometheus
) -> None:
    an_idle_instance_gives_numbers_or_nothing(monitored, prometheus)
    every_panel_has_data_under_load(monitored, prometheus)
    every_panel_has_data_for_single_backends(monitored, prometheus)
    every_metric_and_label_that_is_named_is_scraped(prometheus)
    a_reload_is_seen_as_an_annotation(monitored, prometheus)
    alerts_fire_under_faults(monitored, prometheus)
    operators_are_told_of_a_pool_that_is_down_once(alertmanager)
    every_rule_gives_data(prometheus)
    alerts_end_when_all_is_well(monitored, prometheus)
    panels_have_data_whatever_histograms_there_are(monitored, prometheus, "pool", "backend", set())
    panels_have_data_whatever_histograms_there_are(monitored, prometheus, "off", "pool", BY_BACKEND)
    an_instance_that_is_gone_is_told_of(monitored, prometheus)
    a_job_that_was_lost_is_told_of(prometheus)
