"""The workflows of CI: their schema, who may do what, and that each command which they name exists (S50)."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from dockerfile import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS: dict[str, dict[str, Any]] = {
    file.name: yaml.load(file.read_text(), yaml.BaseLoader)
    for file in FILES  # YAML 1.1 would take `on` for a boolean
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
OF_RUNNERS = {"bash", "curl", "docker", "export", "gh", "git", "openssl", "python", "sleep", "sudo", "test"}
MADE_BEFORE = ("dist/", "installed/", "origin/", "wheels/")  # by an earlier line of the same job
INSTALLED = {"build": "build", "cibuildwheel": "cibuildwheel", "pip_audit": "pip-audit", "pip": "", "venv": ""}


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for file, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            yield file, name, job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for file, name, job in jobs():
        for step in job["steps"]:
            yield f"{file} {name}", step


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of each step, as words."""
    for place, step in steps():
        text = re.sub(r"\\\n\s*", " ", step.get("run", ""))
        for line in filter(None, map(str.strip, text.splitlines())):
            yield place, shlex.split(line)


def test_there_are_the_promised_jobs() -> None:
    assert set(WORKFLOWS["check.yml"]["jobs"]) == {"check", "long", "packages", "wheels", "image", "audit"}
    assert set(WORKFLOWS["release.yml"]["jobs"]) == {"packages", "wheels", "publish"}
    assert "pull_request_target" not in str(WORKFLOWS)  # would run strangers' code with our rights


def test_the_schema_holds_and_every_job_ends() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert [name for _, name, job in jobs() if not 0 < int(job["timeout-minutes"]) <= 90] == []


def test_jobs_may_read_alone_but_the_one_that_publishes() -> None:
    assert all(workflow["permissions"] == {"contents": "read"} for workflow in WORKFLOWS.values())
    more = {(file, name): job["permissions"] for file, name, job in jobs() if "permissions" in job}
    assert more == {("release.yml", "publish"): {"actions": "read", "contents": "write"}}
    (publishing,) = WORKFLOWS["release.yml"]["jobs"]["publish"]["steps"]
    assert "uses" not in publishing  # neither a checkout nor an action of anybody's


def test_actions_are_named_by_commit_and_keep_no_token() -> None:
    for file in FILES:
        for line in re.findall(r"uses: (.*)", file.read_text()):
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    pins = {step["uses"] for _, step in steps() if "uses" in step}
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)  # one commit of each
    checkouts = [step for _, step in steps() if "checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


def test_no_command_is_put_together_from_what_a_stranger_wrote() -> None:
    assert [place for place, step in steps() if "${{" in step.get("run", "")] == []


def test_every_python_that_is_promised_is_tried() -> None:
    prefix = "Programming Language :: Python :: "
    promised = [text.removeprefix(prefix) for text in PROJECT["classifiers"] if text.startswith(prefix)]
    assert WORKFLOWS["check.yml"]["jobs"]["check"]["strategy"]["matrix"]["python"] == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"
    built = PYPROJECT["tool"]["cibuildwheel"]["build"].split()
    assert built == [f"cp{version.replace('.', '')}-manylinux*" for version in promised]


def test_wheels_are_compiled_or_not_made() -> None:
    settings = PYPROJECT["tool"]["cibuildwheel"]
    assert settings["environment"] == {"BALANCE_COMPILE": "require"}
    assert settings["archs"] == "native"
    assert {f"manylinux-{machine}-image" for machine in ("x86_64", "aarch64")} <= settings.keys()
    assert "balance --version | grep -q ^compiled" in settings["test-command"]
    for workflow in WORKFLOWS.values():
        assert workflow["jobs"]["wheels"]["strategy"]["matrix"]["runner"] == ["ubuntu-24.04", "ubuntu-24.04-arm"]


def test_every_command_exists() -> None:
    """What is ours is a file of the repository; a module is one that was installed just before, or Python's own."""
    wrong: list[str] = []
    for place, words in commands():
        bare = [word for word in words if "=" not in word and not word.startswith(("-", "$", "http"))]
        first = bare[0]
        if first not in OF_RUNNERS and not first.startswith(MADE_BEFORE):
            wrong.append(f"{place}: {first}")
        for word in bare[1:]:
            is_path = "/" in word and not word.startswith((*MADE_BEFORE, "/")) and ":" not in word
            if is_path and not (ROOT / word).exists():
                wrong.append(f"{place}: {word}")
        if "-m" in words and first == "python":
            module = words[words.index("-m") + 1]
            if module not in INSTALLED:
                wrong.append(f"{place}: python -m {module}")
    assert wrong == []


def test_modules_are_installed_before_they_are_run_in_one_version_everywhere() -> None:
    """A newer one may make other wheels, or none, in the hour of a release."""
    pins: set[tuple[str, str]] = set()
    for file, name, job in jobs():
        text = "\n".join(step.get("run", "") for step in job["steps"])
        for found in re.finditer(r"python -m (\w+)", text):
            package = INSTALLED[found[1]]
            if not package:
                assert importlib.util.find_spec(found[1])
                continue
            pin = re.search(rf"pip install {package}==(\d+(?:\.\d+)+)\n", text[: found.start()])
            assert pin, (file, name, found[0])
            pins.add((package, pin[1]))
    assert sorted(package for package, _ in pins) == ["build", "cibuildwheel", "pip-audit"]


def test_commands_of_the_tree_that_are_run_say_how_they_are_used() -> None:
    ours = {word for _, words in commands() for word in words if word.startswith(("cmd/", ".ci/"))}
    assert ours == {"cmd/check", "cmd/release_notes", ".ci/run"}
    for each in sorted(ours - {".ci/run"}):
        assert f"python3 {each}" in (ROOT / each / "__main__.py").read_text()
    assert Path(ROOT / ".ci/run").stat().st_mode & 0o100
