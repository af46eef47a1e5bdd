"""docs/DEPLOYMENT.md: each command of its checklists shows what it should of a real instance; fragments fit."""

from __future__ import annotations

import configparser
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from document_blocks import ROOT, blocks, text_of
from server_processes import program
from shell import Shell

from balance.admin.metrics.catalog import CATALOG

PAGE = "docs/DEPLOYMENT.md"
CERTIFICATES = ROOT / "deployments" / "examples" / "certificates"
READY = "curl -sf --retry 60 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:9090/ready"
# What a command of a checklist shows here, by how it begins; None: no test runs it, as it needs systemd or a Prometheus.
SHOWN = {
    "balance-validate /etc": r"valid",
    "balance-validate --verbose": r"app-1",
    "balance validate --check-backends": r"valid",
    "ss -Hltn 'sport = :8080'": r"",
    "openssl x509 -noout -enddate": r"^notAfter=",
    "openssl x509 -noout -pubkey": r"^$",
    "find /etc/balance": r"(?m)^600 .*key.pem$",
    "ulimit -Hn": r"^(\d+|unlimited)$",
    "free -m": r"Mem:",
    "getent hosts localhost": r"localhost",
    "timedatectl": None,
    "balance diff": r"nothing changed",
    "systemctl": None,
    "curl -s http://127.0.0.1:9090/ready": r'"ready"',
    "balance status --json | jq -r .version": r"^\d+\.\d+",
    "balance backends": r"app-1 +\S+ +.*healthy",
    "curl -s -o /dev/null": r"^200$",
    "curl -s http://127.0.0.1:9090/metrics": r'(?m)^balance_requests_ended_total\{why="ok"\} \d',
    "ss -Hltn 'sport = :9090'": r"127.0.0.1:9090",
    'ps -o user= -p "$(balance': r"^\w+$",
    "journalctl": None,
    "curl -s 'http://127.0.0.1:9091": None,
    "balance reload": r"nothing changed",
    'kill -9 "$(balance': r"",
}
FILE = """\
listen: "127.0.0.1:8080"
admin: {listen: "127.0.0.1:9090"}
backends: [{name: app-1, address: "127.0.0.1:9001"}]
health_check: {enabled: true, type: http, interval: 1s, timeout: 900ms}
"""


def checklist(heading: str) -> list[str]:
    section = text_of(PAGE).split(f"## {heading}\n", 1)[1].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| [^|`]+ \| `(.+?)` \| .+ \|$", section)
    return [command.replace("\\|", "|") for command in rows]


def shown(command: str) -> str | None:
    (pattern,) = (pattern for begin, pattern in SHOWN.items() if command.startswith(begin))
    return pattern


def test_every_line_of_the_checklists_has_one_command_that_is_known() -> None:
    commands = [*checklist("Before you deploy"), *checklist("After you have deployed")]
    assert len(commands) > 20
    for command in commands:
        shown(command)
    assert [begin for begin in SHOWN if not any(command.startswith(begin) for command in commands)] == []


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    for name in ("curl", "jq", "openssl", "ss"):
        program(name)
    shell = Shell(tmp_path, (8080, 9001, 9090, 9091))
    yield shell
    shell.close()


@pytest.mark.long
def test_the_checklists_show_what_they_should(shell: Shell) -> None:
    folder = shell.folder / "etc"
    folder.mkdir()
    (folder / "balance.yaml").write_text(shell.here(FILE))
    shutil.copy(CERTIFICATES / "example.crt", folder / "cert.pem")
    shutil.copy(CERTIFICATES / "example.key", folder / "key.pem")
    (folder / "key.pem").chmod(0o600)
    shell.run("balance backend --port 9001 --name app-1 > app.log &")
    shell.run("balance serve --config etc/balance.yaml > balance.log 2>&1 &")
    assert shell.run(READY) == ("", 0)
    before = checklist("Before you deploy")
    for command in [*before, *checklist("After you have deployed")]:
        pattern = shown(command)
        if pattern is None:
            continue
        here = command.replace("/etc/balance", str(folder))
        said, _ = shell.run(here)
        assert re.search(pattern, said.strip()), f"{command}\n{said}"


def test_probes_are_those_of_the_second_port() -> None:
    port = next(yaml.safe_load(block.text)["metrics"]["listen"] for block in blocks(PAGE) if block.text.startswith("metrics:"))
    (probes,) = (yaml.safe_load(block.text) for block in blocks(PAGE) if block.names == ("kubernetes",))
    assert {name: (probe["httpGet"]["path"], f":{probe['httpGet']['port']}") for name, probe in probes.items()} == {
        "livenessProbe": ("/health", port),
        "readinessProbe": ("/ready", port),
    }


def test_drop_ins_are_units() -> None:
    units = [block.text for block in blocks(PAGE) if block.language == "ini"]
    assert len(units) >= 2
    for text in units:
        parser = configparser.ConfigParser(strict=False)
        parser.read_string(text)
        assert set(parser["Service"]) <= {"environmentfile", "loadcredential"}


def test_what_is_to_be_watched_is_there() -> None:
    section = text_of(PAGE).split("## What to watch\n", 1)[1].partition("\n## ")[0]
    rules = (ROOT / "deployments" / "monitoring" / "rules" / "alerts.yml").read_text()
    known = {definition.name for definition in CATALOG} | set(re.findall(r"alert: (\w+)", rules))
    named = re.findall(r"`(balance_\w+|Balance\w+)", section)
    assert len(named) > 10
    assert set(named) - known == set()
