"""The commands of README.md, as they stand there: the demo's shares, and a first configuration that is checked and served.

Not run: `cmd/demo` and `cmd/check`, which set up environments (the rest of the tests is what they start), and `pip install`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_blocks import Block, blocks
from server_processes import program
from shell import Shell

PAGE = "README.md"
SET_UPS = ("python3 cmd/demo", "python3 cmd/check", "pip install .")
READY = "curl -sf --retry 60 --retry-delay 1 --retry-all-errors -o /dev/null http://127.0.0.1:9090/ready"


def block(language: str, begins: str) -> Block:
    (found,) = (each for each in blocks(PAGE) if each.language == language and begins in each.text)
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    program("curl")
    shell = Shell(tmp_path, (8000, 8080, 9001, 9002, 9090))
    yield shell
    shell.close()


@pytest.mark.long
def test_the_demo_shares_requests_as_the_readme_says(shell: Shell) -> None:
    demo = f"{sys.executable} -m balance demo --no-browser --port 8000 --admin-port 9090 > demo.log 2>&1 &"
    assert shell.run(demo) == ("", 0)
    assert shell.run(READY) == ("", 0)
    shell.run("sleep 1")
    ((command, printed),) = block("console", "for i in").commands
    said, _ = shell.run(command)
    assert printed == ""  # the sentence below it says what comes
    assert sorted(said.split()) == ["blue", "green", "green", "red", "red", "red"]


@pytest.mark.long
def test_the_first_configuration_is_valid_served_and_can_be_asked(shell: Shell) -> None:
    shell.write("balance.yaml", block("yaml", "# balance.yaml").text)
    for port in (9001, 9002):
        shell.run(f"balance backend --port {port} --name app-{port - 9000} > app-{port}.log &")
    commands = [line.partition("  ")[0] for line in block("sh", "balance-validate").text.splitlines()]
    commands = [line for line in commands if line not in SET_UPS]
    assert commands[:2] == ["balance-validate balance.yaml", "balance serve --config balance.yaml"]
    assert shell.run(commands[0])[1] == 0
    shell.run(f"{commands[1]} > balance.log 2>&1 &")
    assert shell.run(READY) == ("", 0)
    for command in commands[2:]:
        said, status = shell.run(f"{command} --once" if command == "balance top" else command)
        assert status == 0, f"{command}: {said}"
        assert "app-1" in said, f"{command}: {said}"


def test_every_command_of_the_readme_is_run_or_named_as_a_set_up() -> None:
    lines = [line.partition("  ")[0] for each in blocks(PAGE) if each.language == "sh" for line in each.text.splitlines()]
    assert [line for line in lines if not line.startswith((*SET_UPS, "balance", "curl -s http://127.0.0.1:9090/"))] == []
