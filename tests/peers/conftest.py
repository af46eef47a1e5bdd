"""What the battery starts: the servers of a module and one Balance before all of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "process"))

from instance_process import Instance
from server_processes import ServerProcesses

Before = Callable[..., "Balance"]


class Balance:
    """An instance with a listener of its own before each server."""

    def __init__(self, folder: Path, servers: Mapping[str, str], modes: Mapping[str, str], keys: Mapping[str, Any]) -> None:
        document = {
            "workers": 2,
            "admin": {"listen": "127.0.0.1:0"},
            "shutdown": {"delay": "0s"},
            "listeners": [
                {"name": _key(name), "listen": "127.0.0.1:0", "mode": modes.get(name, "http"), "pool": _key(name)}
                for name in servers
            ],
            "pools": {_key(name): {"backends": [{"name": "b", "address": address}]} for name, address in servers.items()},
        }
        self.instance = Instance(folder, json.dumps({**document, **keys})).ready()
        self.addresses = {
            name: "127.0.0.1:" + self.instance.saying(rf"listener {_key(name)}: \w+ on \S*:(\d+) to ")[1] for name in servers
        }

    def ended(self, why: str) -> float:
        """How many requests and sessions ended that way."""
        return self.instance.metric(rf'balance_requests_ended_total\{{[^ ]*why="{why}"[^ ]*')


def _key(name: str) -> str:
    return name.replace(" ", "-")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcesses]:
    made = ServerProcesses(tmp_path_factory.mktemp("peers"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def before(processes: ServerProcesses) -> Iterator[Before]:
    """Put a Balance before servers that listen already: `modes` names those that are not HTTP."""
    made: list[Balance] = []

    def put(servers: Mapping[str, str], modes: Mapping[str, str] = {}, **keys: Any) -> Balance:
        made.append(Balance(processes.folder, servers, modes, keys))
        return made[-1]

    yield put
    for balance in made:
        balance.instance.destroy()
