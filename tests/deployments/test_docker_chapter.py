"""The chapters on Docker and Compose: the commands that they show are of what the tree has."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator

import pytest
import yaml
from compose_services import DOCUMENT, SERVICES
from dockerfile import ROOT, health_check, stages

from balance.cli.main import COMMANDS
from balance.config import load_file
from balance.process.supervisor import supervisor
from balance.process.worker import worker

TEXT = (ROOT / "docs" / "DEPLOYMENT.md").read_text()
STAGES = stages((ROOT / "Dockerfile").read_text(), {})
CONFIG = load_file(ROOT / "deployments" / "docker" / "default.yaml", {}).config
OPTIONS_WITH_VALUE = {
    "-v",
    "-p",
    "-s",
    "-t",
    "--name",
    "--cap-drop",
    "--security-opt",
    "--stop-timeout",
    "--build-arg",
    "--profile",
}


def chapter(title: str) -> str:
    return re.split(r"(?m)^## ", TEXT.split(f"## {title}\n", 1)[1], maxsplit=1)[0]


def commands(title: str) -> Iterator[list[str]]:
    for block in re.findall(r"(?ms)^```\w*\n(.*?)^```", chapter(title)):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            yield shlex.split(line, comments=True)


def values(words: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(words) if name == option]


def test_the_build_is_given_the_arguments_that_it_knows() -> None:
    (build,) = (words for words in commands("Docker") if words[:2] == ["docker", "build"])
    known = {each.text.partition("=")[0] for each in STAGES[-1].instructions if each.name == "ARG"}
    assert {value.partition("=")[0] for value in values(build, "--build-arg")} == known


def test_what_is_run_in_a_container_is_a_command() -> None:
    shown = []
    for words in commands("Docker"):
        if words[1] in ("run", "exec"):
            rest = words[2:]
            while rest[0].startswith("-"):
                rest = rest[2 if rest[0] in OPTIONS_WITH_VALUE else 1 :]
            rest = rest[2:] if words[1] == "exec" else rest[1:]  # the container and the program; the image
            shown += rest[:1]
    assert shown == ["validate", "status"]
    assert set(shown) <= set(COMMANDS)


def test_a_container_is_given_the_time_that_its_end_takes() -> None:
    (run,) = (words for words in commands("Docker") if "-d" in words)
    end_s = CONFIG.shutdown_delay_s + CONFIG.drain_s + 2 * worker.EXIT_GRACE_S + supervisor.CLOSE_TIMEOUT_S
    assert float(values(run, "--stop-timeout")[0]) > end_s
    assert "+ 13 s" in chapter("Docker")
    assert 2 * worker.EXIT_GRACE_S + supervisor.CLOSE_TIMEOUT_S <= 13
    (mounted,) = values(run, "-v")
    assert mounted.split(":")[1] == STAGES[-1].environment({}, {"PATH": ""})["BALANCE_CONFIG"]


def test_the_numbers_of_the_image_are_those_that_are_told() -> None:
    text = chapter("Docker")
    assert STAGES[-1].one("USER").text.partition(":")[0] in text
    assert CONFIG.metrics.address is not None
    for port in (CONFIG.listeners[0].addresses[0].port, CONFIG.admin.address.port, CONFIG.metrics.address.port):
        assert str(port) in text
    assert health_check(STAGES[-1])[-2:] == ["--timeout", "3"]
    assert "gives up after three seconds" in " ".join(text.split())


def test_profiles_and_variables_of_compose_are_its_own() -> None:
    shown = list(commands("Compose"))
    profiles = {value for words in shown for value in values(words, "--profile")}
    assert profiles == {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    text = yaml.dump(DOCUMENT)
    variables = {word.partition("=")[0] for words in shown for word in words if re.match(r"[A-Z_]+=", word)}
    assert [name for name in variables if f"${{{name}" not in text] == []


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service.get("ports")])
def test_every_published_port_is_in_the_table(name: str) -> None:
    for port in SERVICES[name]["ports"]:
        assert f"| [127.0.0.1:{port.split(':')[-2]}](" in chapter("Compose")
