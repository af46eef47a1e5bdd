"""The example of docs/GRPC.md runs as it is shown: both servers answer one channel, and a drain under load fails no call."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_blocks import ROOT, blocks
from server_processes import program
from shell import Shell

PAGE = "docs/GRPC.md"
EXAMPLE = ROOT / "deployments" / "examples" / "grpc"
SHOWN = next(block for block in blocks(PAGE) if block.language == "yaml")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    program("curl")
    shell = Shell(tmp_path, (8080, 9001, 9002, 9090))
    yield shell
    shell.close()


def test_the_page_shows_the_file_of_the_example() -> None:
    text = (EXAMPLE / "balance.yaml").read_text()
    assert text.partition("\n\n")[2] == SHOWN.text


@pytest.mark.long
def test_the_example_does_what_the_page_shows(shell: Shell) -> None:
    for name in ("server.py", "client.py"):
        shutil.copy(EXAMPLE / name, shell.folder)
    shell.write("balance.yaml", SHOWN.text)
    for block in blocks(PAGE):
        if block.language != "console":
            continue
        for command, printed in block.commands:
            if command.startswith("cd "):
                continue
            said, status = shell.run(command.replace("python3", sys.executable))
            assert (said, status) == (printed, 0), command
