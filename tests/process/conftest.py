"""Instances and backends that are gone after the test."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance, Origin


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Start instances that are gone after the test. Keywords become keys of the file, in JSON, which is YAML."""
    instances: list[Instance] = []

    def start(prelude: str = "", **keys: Any) -> Instance:
        listen = {} if "listeners" in keys else {"listen": "127.0.0.1:0"}
        document = {**listen, "admin": {"listen": "127.0.0.1:0"}, "shutdown": {"delay": "0s"}} | keys
        instance = Instance(tmp_path, json.dumps(document), prelude)
        instances.append(instance)
        return instance

    yield start
    for instance in instances:
        instance.destroy()


@pytest.fixture
def origins() -> Iterator[Callable[..., Origin]]:
    """Start backends that are gone after the test."""
    started: list[Origin] = []

    def start(name: str = "b1", port: int = 0) -> Origin:
        origin = Origin(name, port)
        started.append(origin)
        return origin

    yield start
    for origin in started:
        origin.stop()
