"""Each program in docs/CLIENT.md runs against a real admin port, and each method and error that it names is there."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from admin_server import serving
from fake_instance import FakeInstance

import balance.client
from balance.client import Client
from balance.runtime import counters

TEXT = (Path(__file__).parents[2] / "docs" / "CLIENT.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_runs(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeInstance()

    def apply() -> None:  # as workers do
        for row in fake.board.rows:
            row[counters.APPLIED_US] = fake.board.states_changed_us

    with serving(fake.view) as port:
        Client(f":{port}").drain("a2")  # so that there is an event
        timer = threading.Timer(0.1, apply)
        timer.start()
        exec(compile(program.replace("127.0.0.1:9090", f"127.0.0.1:{port}"), "docs/CLIENT.md", "exec"), {})
        timer.join()


def test_there_are_programs_about_each_thing() -> None:
    assert len(PROGRAMS) == 5


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+)\(", TEXT)) - {"Client"}))
def test_each_method_that_is_named_is_there(name: str) -> None:
    assert hasattr(Client, name) or hasattr(balance.client.EventStream, name)


def test_each_error_is_named() -> None:
    errors = {name for name in balance.client.__all__ if name.endswith("Error")}
    assert {name for name in errors if name not in TEXT} == {"ContactError"} & errors
