"""Every example of docs/ROUTING.md is served by a whole instance, and each command below it prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from instance_process import Instance

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "ROUTING.md").read_text()


class Example(NamedTuple):
    title: str
    text: str
    commands: tuple[tuple[str, str], ...]  # (command, what it prints)


def examples() -> Iterator[Example]:
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        blocks = re.findall(r"^```yaml\n(.*?)^```\n+```console\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
        assert len(blocks) == section.count("```yaml"), f"an example without commands in {title!r}"
        for text, console in blocks:
            parts = re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]
            yield Example(title, text, tuple((command, printed) for command, _, printed in (p.partition("\n") for p in parts)))


EXAMPLES = list(examples())
EVERY_TIME = ("API to one pool, the rest to another", "Keep people out, let some in")


def test_the_guide_has_examples() -> None:
    assert {each.title for each in EXAMPLES} >= set(EVERY_TIME)


class TestBackends:
    """`balance backend --catch-all` for each name that is asked for."""

    __test__ = False

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._ports: dict[str, int] = {}

    def port(self, name: str) -> int:
        if name not in self._ports:
            words = [sys.executable, "-m", "balance", "backend", "--port", "0", "--name", name, "--catch-all"]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            self._stack.callback(process.wait)
            self._stack.callback(process.terminate)
            assert process.stdout is not None
            self._stack.callback(process.stdout.close)
            self._ports[name] = int(process.stdout.readline().rsplit(":", 1)[1])
        return self._ports[name]


@pytest.fixture(scope="module")
def backends() -> Iterator[TestBackends]:
    with ExitStack() as stack:
        yield TestBackends(stack)


def served(text: str, backends: TestBackends) -> str:
    """The example with free ports of this machine; a backend is named like its pool, or as it names itself."""
    document = yaml.safe_load(text)
    for pool, settings in document["pools"].items():
        for backend in settings["backends"]:
            name = backend.get("name", pool)
            text = re.sub(rf"{re.escape(backend['address'])}\b", f"127.0.0.1:{backends.port(name)}", text)
    text = text.replace('listen: ":8080"', 'listen: "127.0.0.1:0"')
    return text + '\nadmin: {listen: "127.0.0.1:0"}\nshutdown: {delay: 0s}\n'


PARAMETERS = [
    pytest.param(each, id=each.title.replace(" ", "-"), marks=() if each.title in EVERY_TIME else pytest.mark.long)
    for each in EXAMPLES
]


@pytest.mark.parametrize("example", PARAMETERS)
def test_an_example_does_what_the_guide_says(example: Example, backends: TestBackends, tmp_path: Path) -> None:
    instance = Instance(tmp_path, served(example.text, backends)).ready()
    try:
        for command, printed in example.commands:
            line = command.replace("localhost:8080", f"127.0.0.1:{instance.port}")
            line = re.sub(r"^balance (\w+)", rf"{sys.executable} -m balance \1 --admin 127.0.0.1:{instance.admin_port}", line)
            done = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, timeout=60, env=os.environ | {"LC_ALL": "C"}
            )
            assert done.stdout.replace(f"127.0.0.1:{instance.port}", "localhost:8080") == printed, f"{command}\n{done.stderr}"
    finally:
        instance.process.terminate()
        instance.process.wait()
