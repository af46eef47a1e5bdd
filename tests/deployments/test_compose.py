"""The Compose stack: what its files promise, and its services started from those files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_services import DOCUMENT, FOLDER, SERVICES, ComposeServices, files_of, interpolated, mounts
from dockerfile import ROOT, stages
from instance_process import until
from scratch_root import need_namespaces

from balance.config import load_file
from balance.process.supervisor import supervisor
from balance.process.worker import worker

TOKEN = "9f1c7b0a52d84e6397aa"
ENV = {"BALANCE_ADMIN_TOKEN": TOKEN}
CONFIG = load_file(FOLDER / "balance.yaml", ENV)
MONITORING = ROOT / "deployments" / "monitoring"


def seconds(text: str) -> float:
    return float(re.fullmatch(r"(\d+)s", text)[1])  # type: ignore[index]


def test_the_schema_of_compose_holds() -> None:
    """S50."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        str(FOLDER / "compose.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_services_and_ports_are_those_that_are_promised() -> None:
    plain = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert plain == {"balance", "backend-1", "backend-2", "backend-3", "redis", "prometheus", "grafana"}
    assert {tuple(service["profiles"]): name for name, service in SERVICES.items() if "profiles" in service} == {
        ("load",): "load",
        ("tracing",): "jaeger",
    }
    published = {port for service in SERVICES.values() for port in service.get("ports", ())}
    assert published == {"8080:8080", *(f"127.0.0.1:{port}:{port}" for port in (9090, 9091, 3000, 16686))}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists_and_is_read_alone(name: str) -> None:
    service = SERVICES[name]
    assert [str(file) for file, _ in files_of(service) if not file.exists()] == []
    named = {source for source, _, _ in mounts(service) if not source.startswith(".")}
    assert named <= set(DOCUMENT["volumes"])
    assert all(mode == "ro" for source, _, mode in mounts(service) if source not in named)
    if "build" in service:
        assert (FOLDER / service["build"]["context"] / "Dockerfile").is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root_or_may_write_or_has_a_capability(name: str) -> None:
    """docker-nginx 524, nginx-unprivileged 17: such a service needs its folders named."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    of_image = {"prometheus": 65534} if service["image"].startswith("prom/") else {"balance": 10001, "load": 10001}
    assert int(service.get("user", str(of_image.get(name, 0))).partition(":")[0]) > 0
    assert re.fullmatch(r"[\w./-]+:\S+", service["image"])  # a version, and no host


@pytest.mark.parametrize("name", SERVICES)
def test_who_is_waited_for_says_when_he_is_healthy(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        assert condition == {"condition": "service_healthy"}
        check = SERVICES[other]["healthcheck"]
        assert check["test"][0] == "CMD"  # caddy-docker 331: a shell's operators in the words of CMD do nothing
        assert not {"||", "&&", "exit"} & set(check["test"])
        assert seconds(check["timeout"]) <= seconds(check["interval"])


def test_a_stop_has_the_time_that_it_takes() -> None:
    """official-images 7322: ten seconds, and then everything is killed."""
    config = CONFIG.config
    end_s = config.shutdown_delay_s + config.drain_s + 2 * worker.EXIT_GRACE_S + supervisor.CLOSE_TIMEOUT_S
    assert seconds(SERVICES["balance"]["stop_grace_period"]) > end_s


def test_the_stack_needs_a_token_of_its_own() -> None:
    with pytest.raises(KeyError, match="openssl rand -hex 24"):
        interpolated(SERVICES, {})
    balance = interpolated(SERVICES, ENV)["balance"]
    assert balance["environment"] == {"BALANCE_ADMIN_TOKEN": TOKEN, "BALANCE_TRACING": "false"}
    assert balance["build"]["args"] == {"VERSION": "dev", "GIT_COMMIT": "unknown", "BUILD_TIME": "unknown"}


def test_the_configuration_is_one_and_names_the_services() -> None:
    config = CONFIG.config
    # Without TLS the port is for this machine alone, which compose.yaml sees to.
    assert [each for each in CONFIG.warnings if "admin.tls" not in str(each)] == []
    names = [backend.address.host for pool in config.pools for backend in pool.backends]
    assert names == ["backend-1", "backend-2", "backend-3"]
    text = (FOLDER / "balance.yaml").read_text()
    assert set(re.findall(r"//([\w-]+):", text)) <= set(SERVICES)
    assert config.tracing.enabled is False
    assert load_file(FOLDER / "balance.yaml", {**ENV, "BALANCE_TRACING": "true"}).config.tracing.enabled is True
    environment = stages((ROOT / "Dockerfile").read_text(), {})[-1].environment({}, {"PATH": "/bin"})
    assert environment["BALANCE_CONFIG"] in [target for _, target in files_of(SERVICES["balance"])]


def test_prometheus_and_grafana_have_what_monitoring_has_but_other_addresses() -> None:
    ours, theirs = (yaml.safe_load((folder / "prometheus.yml").read_text()) for folder in (FOLDER, MONITORING))
    assert (ours["global"], ours["rule_files"]) == (theirs["global"], theirs["rule_files"])
    assert [job["job_name"] for job in ours["scrape_configs"]] == [job["job_name"] for job in theirs["scrape_configs"]]
    (mine,), (known,) = (
        yaml.safe_load(file.read_text())["datasources"]
        for file in (FOLDER / "grafana-datasource.yml", MONITORING / "grafana/provisioning/datasources/balance.yml")
    )
    assert mine | {"url": ""} == known | {"url": ""}
    assert mine["url"] == "http://prometheus:9091"
    (provider,) = yaml.safe_load((MONITORING / "grafana/provisioning/dashboards/balance.yml").read_text())["providers"]
    targets = {target: source for source, target in files_of(SERVICES["grafana"])}
    dashboards = targets[provider["options"]["path"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (dashboards / Path(home).name).is_file()


# --- started ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack() -> Iterator[ComposeServices]:
    need_namespaces()
    folder = Path(tempfile.mkdtemp(prefix="balance-compose-"))  # pytest's own are for root's eyes alone
    services = ComposeServices(folder, ENV)
    try:
        services.start_redis()
        for number in (1, 2, 3):
            services.start_backend(f"backend-{number}")
        for name in ("redis", "backend-1", "backend-2", "backend-3"):  # as depends_on has it
            services.wait_until_healthy(name)
        services.start_balance()
        services.start_prometheus()
        services.wait_until_healthy("balance")
        services.wait_until_healthy("prometheus")
        yield services
    finally:
        services.stop()
        shutil.rmtree(folder)


def results(stack: ComposeServices, path: str) -> Any:
    return json.loads(stack.ask(f"http://prometheus:9091/api/v1/{path}")[1])["data"]


@pytest.mark.long
def test_the_stack_serves_and_is_seen(stack: ComposeServices) -> None:
    answers = [stack.ask("http://balance:8080/")[1].strip() for _ in range(12)]
    assert set(answers) == {"backend-1", "backend-2", "backend-3"}
    assert json.loads(stack.ask("http://balance:8080/api/items/7")[1])["path"] == "/api/items/7"
    assert stack.ask("http://balance:8080/missing")[0] == 404
    assert stack.ask("http://balance:9090/status")[0] == 401
    status, text = stack.ask("http://balance:9090/status", "-H", f"Authorization: Bearer {TOKEN}")
    assert (status, json.loads(text)["redis"]["state"]) == (200, "up")
    assert stack.ask("http://balance:9090/")[0] == 200  # the dashboard, where the token is asked for
    until(
        lambda: (
            {each["labels"]["job"]: each["health"] for each in results(stack, "targets")["activeTargets"]}
            == {"balance": "up", "prometheus": "up"}
        ),
        lambda: stack.log("prometheus"),
    )
    groups = results(stack, "rules")["groups"]
    assert {rule["name"] for group in groups for rule in group["rules"]} >= {"BalanceDown", "BalanceAllBackendsDown"}
    assert [rule["lastError"] for group in groups for rule in group["rules"] if rule["health"] == "err"] == []


@pytest.mark.long
def test_visitors_make_all_kinds_of_traffic(stack: ComposeServices) -> None:
    """The client of the profile `load`, by its own command."""
    service = stack.services["load"]
    script = service["entrypoint"][1].replace("/load", str(FOLDER / "load"))
    done = stack.run(sys.executable, script, *service["command"], "--seconds", "4")
    assert (done.returncode, done.stderr) == (0, "")
    last = done.stdout.splitlines()[-1]
    outcomes = {name: int(count) for name, count in re.findall(r"(\w+): (\d+)", last)}
    assert outcomes["200"] > 20
    assert set(outcomes) <= {"200", "404", "500"}, last
    wrong = stack.run(sys.executable, script, "balance:8080")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)


@pytest.mark.long
def test_a_backend_that_goes_is_gone_around_and_the_stack_ends_in_peace(stack: ComposeServices) -> None:
    pid = int((stack.folder / "backend-2" / "nginx.pid").read_text())
    os.kill(pid, 3)  # SIGQUIT, as stop_signal says
    assert SERVICES["backend-2"]["stop_signal"] == "SIGQUIT"
    statuses = {stack.ask("http://balance:8080/")[0] for _ in range(20)}
    assert statuses == {200}
    balance = next(each for each in stack.processes._processes if "serve" in each.args)  # type: ignore[operator]
    began = time.monotonic()
    balance.terminate()
    assert balance.wait(seconds(SERVICES["balance"]["stop_grace_period"])) == 0
    assert time.monotonic() - began >= CONFIG.config.shutdown_delay_s
    assert "Traceback" not in stack.log("balance")
