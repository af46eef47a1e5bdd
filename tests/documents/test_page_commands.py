"""Commands of OPERATING, OBSERVABILITY, SECURITY and BENCHMARKING.md and of deployments/monitoring/README.md, as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_blocks import ROOT, Block, blocks
from server_processes import program
from shell import Shell

pytestmark = pytest.mark.long
ECHO = Path(__file__).with_name("echo_server.py")
READY = "curl -sf --retry 60 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:9090/ready"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
BEFORE = """\
listen: "127.0.0.1:8080"
admin: {listen: "127.0.0.1:9090"}
pools:
  app: {backends: [{name: a, address: "10.0.0.1:8080"}, {name: b, address: "10.0.0.2:8080"}]}
"""
AFTER = BEFORE.replace(
    '{name: b, address: "10.0.0.2:8080"}', '{name: b, address: "10.0.0.2:8080", weight: 3}, {name: c, address: "10.0.0.3:8080"}'
)


def block(page: str, begins: str) -> Block:
    (found,) = (each for each in blocks(page) if each.language in ("sh", "console") and each.text.startswith(begins))
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    for name in ("curl", "jq"):
        program(name)
    shell = Shell(tmp_path, (8000, 8080, 8443, 9000, 9001, 9090, 9091))
    yield shell
    shell.close()


def serve(shell: Shell, text: str, name: str = "config.yaml") -> None:
    shell.write(name, text)
    shell.run(f"balance serve --config {name} > balance.log 2>&1 &")
    assert shell.run(READY) == ("", 0)


def test_a_reload_and_the_list_of_generations_are_as_shown(shell: Shell) -> None:
    page = "docs/OPERATING.md"
    serve(shell, BEFORE)
    shell.write("config.yaml", AFTER)
    for command, printed in block(page, "$ balance diff").commands:
        assert shell.run(command) == (printed, 0)
    shell.run("balance weight b 2")
    ((command, printed),) = block(page, "$ balance generations").commands
    said, _ = shell.run(command)
    assert TIME.sub("AT", said) == TIME.sub("AT", printed)


def test_the_state_of_a_backend_can_be_asked_for(shell: Shell) -> None:
    serve(shell, BEFORE.replace("{name: a,", "{name: app,"))
    ((command, printed),) = block("docs/OBSERVABILITY.md", "$ curl -s http://localhost:9090/dashboard/state").commands
    assert printed == ""  # what it shows is in the table below it
    said, status = shell.run(command)
    assert status == 0
    assert {"state", "out", "reason", "rate", "p99_seconds"} == set(json.loads(said))


def test_a_client_with_a_certificate_gets_in(shell: Shell) -> None:
    start, _, ask = block("docs/SECURITY.md", "cd deployments/examples").text.partition("\n")
    shutil.copytree(ROOT / "deployments" / "examples", shell.folder / "deployments" / "examples")
    example = shell.folder / "deployments" / "examples" / "client-certificates.yaml"
    example.write_text(shell.here(example.read_text()) + shell.here('\nadmin: {listen: "127.0.0.1:9090"}\n'))
    shell.run("balance backend --port 9001 --name app --catch-all > app.log &")
    folder, _, command = start.partition(" && ")
    shell.run(folder)
    shell.run(f"{command} > balance.log 2>&1 &")
    assert shell.run(READY) == ("", 0)
    said, status = shell.run(ask.rstrip("\n"))
    assert status == 0, said
    assert said.endswith("app\n")


def test_prometheus_takes_its_configuration_as_it_lies(shell: Shell) -> None:
    program("prometheus")
    shutil.copytree(ROOT / "deployments" / "monitoring", shell.folder / "deployments" / "monitoring")
    folder, check, start = block("deployments/monitoring/README.md", "cd deployments/monitoring").text.splitlines()
    assert shell.run(folder) == ("", 0)
    said, status = shell.run(check)
    assert (status, said.count("SUCCESS")) == (0, 4), said
    shell.run(f"{start} > prometheus.log 2>&1 &")
    asked, status = shell.run(READY.replace("9090/ready", "9091/-/ready"))
    assert (asked, status) == ("", 0), (shell.folder / "deployments/monitoring/prometheus.log").read_text()


def test_the_steps_for_grafana_name_files_that_there_are() -> None:
    lines = block("deployments/monitoring/README.md", "cp grafana").text.splitlines()
    sources = [line.split()[1] for line in lines if line.startswith("cp ")]
    assert len(sources) == 3
    assert [name for name in sources if not (ROOT / "deployments" / "monitoring" / name).is_file()] == []
    assert subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, check=False).returncode == 0


@pytest.mark.parametrize("begins", ["latency-test -c 10 -d 30s", "$ latency-test -c 20", "latency-test -c 10 -d 20s"])
def test_servers_are_measured(shell: Shell, begins: str) -> None:
    """docs/BENCHMARKING.md, each run shorter than there."""
    shell.run("balance backend --port 8000 --name one > one.log &")
    shell.run(f"{sys.executable} {ECHO} 9000 > echo.log &")
    shell.run("until nc -z 127.0.0.1 9000 && nc -z 127.0.0.1 8000; do sleep 0.1; done")
    measured = block("docs/BENCHMARKING.md", begins)
    commands = [command for command, _ in measured.commands] or [line.partition(" #")[0] for line in measured.text.splitlines()]
    for command in commands:
        short = re.sub(r"-d \d+s", "-d 1s", command).replace("-n 10000", "-n 1000").replace("--rate 3000", "--rate 100")
        said, status = shell.run(f"balance {short}")
        assert status == 0, f"{command}\n{said}"
        assert "compare" in command or "Requests" in said
