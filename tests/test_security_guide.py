"""Every example of docs/SECURITY.md is served by a whole instance, and each command below it prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from instance_process import Instance

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "SECURITY.md").read_text()
BLOCK = re.compile(r"^```yaml\n(.*?)^```\n+```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
EVERY_TIME = ("Tokens\n", "TLS\n", "The admin port\n")
EXAMPLES = [
    pytest.param(
        text,
        console,
        id=section.partition("\n")[0].replace(" ", "-"),
        marks=() if section.startswith(EVERY_TIME) else pytest.mark.long,
    )
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]
    for text, console in BLOCK.findall(section)
]


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    """The port of a backend that says which request came."""
    with ExitStack() as stack:
        words = [sys.executable, "-m", "balance", "backend", "--port", "0", "--name", "app", "--catch-all"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        yield int(process.stdout.readline().rsplit(":", 1)[1])


def test_no_example_is_without_commands() -> None:
    assert len(EXAMPLES) == GUIDE.count("```yaml") == GUIDE.count("```console")


def test_what_is_promised_is_shown_by_a_test_that_there_is() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    named = set(re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)`", GUIDE))
    assert len(named) > 30
    assert [name for name in sorted(named) if not any(file == name or file.endswith(f"/{name}") for file in files)] == []


def test_every_drill_is_on_the_page() -> None:
    drills = sorted((ROOT / "tests" / "attacks").glob("test_*.py"))
    assert [drill.name for drill in drills if f"tests/attacks/{drill.name}" not in GUIDE] == []


@pytest.mark.parametrize(("text", "console"), EXAMPLES)
def test_an_example_does_what_the_guide_says(text: str, console: str, backend: int, tmp_path: Path) -> None:
    yaml.safe_load(text)
    served = text.replace("127.0.0.1:9001", f"127.0.0.1:{backend}").replace('listen: ":8080"', 'listen: "127.0.0.1:0"')
    served = served.replace('listen: "127.0.0.1:9090"', 'listen: "127.0.0.1:0"')
    admin = "" if "\nadmin:" in served else '\nadmin: {listen: "127.0.0.1:0"}'
    instance = Instance(tmp_path, f"{served}{admin}\nshutdown: {{delay: 0s}}\n").ready()
    try:
        for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            line = command.replace("localhost:8080", f"127.0.0.1:{instance.port}")
            line = line.replace("localhost:9090", f"127.0.0.1:{instance.admin_port}")
            line = re.sub(r"^balance (\w+)", rf"{sys.executable} -m balance \1 --admin 127.0.0.1:{instance.admin_port}", line)
            done = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, timeout=60, env=os.environ | {"LC_ALL": "C"}
            )
            assert done.stdout.replace("\r", "") == printed, f"{command}\n{done.stderr}"
    finally:
        instance.process.terminate()
        instance.process.wait()
