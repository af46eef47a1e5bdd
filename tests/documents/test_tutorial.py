"""docs/TUTORIAL.md from top to bottom: files are written, commands run in one shell, and they print what stands there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_blocks import ROOT, Block, blocks
from server_processes import program
from shell import Shell

PAGE = "docs/TUTORIAL.md"
PORTS = (6379, 8000, 8080, 8081, 8443, 9001, 9002, 9003, 9090, 9091, 9092)
PROGRAMS = ("curl", "jq", "openssl", "redis-server", "prometheus", "promtool")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, PORTS)
    yield shell
    shell.close()


def local(command: str, shell: Shell) -> str:
    """What differs here: the demo is run from the sources, on free ports; the folder is the test's."""
    demo = f"{sys.executable} -m balance demo --port 8000 --admin-port 9090"
    command = command.replace("python3 cmd/demo", demo).replace("/tmp/balance-demo.log", "demo.log")
    command = command.replace('"$PWD" PATH="$PWD/.venv/bin:$PATH"', f'"{ROOT}"')
    return command.replace("mkdir /tmp/balance-tutorial; cd /tmp/balance-tutorial", ":").replace(
        "rm -r /tmp/balance-tutorial", ":"
    )


def steps() -> Iterator[tuple[Block, str, str]]:
    for block in blocks(PAGE):
        if block.language == "console":
            for command, printed in block.commands:
                yield block, command, printed
        else:
            yield block, "", ""


@pytest.mark.long
@pytest.mark.timeout(180)
def test_the_tutorial_does_what_it_says(shell: Shell) -> None:
    for name in PROGRAMS:
        program(name)
    for block, command, printed in steps():
        if not command:
            shell.write(block.names[0], block.text)
            continue
        said, status = shell.run(local(command, shell))
        assert said == printed, f"{block}: {command}"
        assert status == 0 or "wrong.yaml" in command or command.startswith("kill "), f"{block}: {command}: status {status}"


def test_every_file_of_the_tutorial_has_a_name() -> None:
    files = [block for block in blocks(PAGE) if block.language == "yaml"]
    assert all(re.fullmatch(r"[\w.-]+\.ya?ml", block.names[0]) for block in files)
    assert len(files) >= 5
