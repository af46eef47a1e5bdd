"""The alerts are those that are promised, each says what to do, and promtool has tried each both ways."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from monitoring_files import FOLDER, alerts, rules
from server_processes import program

from balance.cli.main import COMMANDS

CRITICAL = {"BalanceAllBackendsDown", "BalanceDown", "BalanceHighErrorRate", "BalanceTargetAbsent"}
WARNING = {
    "BalanceBackendDown", "BalanceHighLatency", "BalanceHighConnections", "BalanceHighMemoryUsage", "BalanceCircuitBreakerOpen",
    "BalanceHighRetryRate", "BalanceHighEventLoopLag", "BalanceCertificateExpiry", "BalanceConfigReloadFailed",
    "BalanceDiscoveryStale",
}  # fmt: skip
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
SERVES_ANYWAY = {"validate", "serve"}


@functools.cache
def names_of_tests() -> list[str]:
    return [test["name"] for file in TESTS for test in yaml.safe_load(file.read_text())["tests"]]


def test_the_alerts_are_those_that_are_promised() -> None:
    severities = {name: rule["labels"]["severity"] for name, rule in alerts().items()}
    assert severities == dict.fromkeys(CRITICAL, "critical") | dict.fromkeys(WARNING, "warning")


@pytest.mark.parametrize("name", sorted(CRITICAL | WARNING))
def test_an_alert_says_what_to_do_first(name: str) -> None:
    rule = alerts()[name]
    assert re.fullmatch(r"\d+[sm]", rule["for"]), "one bad scrape is no alert"
    assert set(rule["annotations"]) == {"summary", "description"}
    description = rule["annotations"]["description"]
    assert "First: " in description or "First, " in description
    assert re.search(r"`[a-z]", description), "a command"
    commands = re.findall(r"`balance ([a-z]+)", description)
    assert set(commands) <= set(COMMANDS), "commands that there are"
    assert commands or name in {"BalanceTargetAbsent", "BalanceCertificateExpiry"}


@pytest.mark.parametrize("name", sorted(CRITICAL | WARNING))
def test_an_alert_was_tried_both_ways(name: str) -> None:
    tests = names_of_tests()
    assert any(test.startswith(f"{name} fires") for test in tests)
    assert any(test.startswith(f"{name} is silent") for test in tests)


def test_every_denominator_is_guarded() -> None:
    """x / 0 is +Inf, which is above every threshold, and 0 / 0 is NaN."""
    for rule in rules():
        for divisor in re.findall(r"/\s*(.{0,60})", re.sub(r"on \([^)]*\) group_left \(\)\s*", "", rule["expr"])):
            assert divisor.startswith("("), f"{rule}: {divisor}"
            assert re.match(r"\([^()]* > 0\)", divisor), f"{rule}: {divisor}"


def test_only_what_asks_for_targets_knows_the_name_of_the_job() -> None:
    """Users give it names of their own."""
    assert {name for name, rule in alerts().items() if "job=" in rule["expr"]} == {"BalanceDown", "BalanceTargetAbsent"}
    assert [rule for rule in rules() if "record" in rule and "job=" in rule["expr"]] == []


def test_labels_of_targets_are_kept() -> None:
    """`by` would drop what users add to them: cluster, namespace, pod."""
    assert [rule for rule in rules() if re.search(r"\bby\s*\(", rule["expr"])] == []


@pytest.mark.long
@pytest.mark.parametrize("arguments", [("config", "prometheus.yml"), ("rules", "rules/recording.yml", "rules/alerts.yml")])
def test_promtool_accepts_the_files(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([program("promtool"), "check", *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_amtool_accepts_the_example_for_alertmanager() -> None:
    def amtool(*arguments: str) -> str:
        return subprocess.run([program("amtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, check=True).stdout

    assert "SUCCESS" in amtool("check-config", "alertmanager.yml")
    assert amtool("config", "routes", "test", "--config.file=alertmanager.yml", "severity=critical").strip() == "operators"


@pytest.mark.long
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_promtool_s_unit_tests_pass(file: Path) -> None:
    done = subprocess.run([program("promtool"), "test", "rules", file.name], cwd=file.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
