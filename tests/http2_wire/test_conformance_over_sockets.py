"""The public suite's cases against a whole instance: what the session says is what a client sees."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from h2_cases import CASES
from h2_talk import runs
from instance_process import Instance
from recording_server import RecordingServer
from socket_talk import SocketTalk

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with RecordingServer() as server:
        document = {
            "mode": "http",
            "listen": "127.0.0.1:0",
            "workers": 1,
            "http": {"h2c": True},
            "backends": [{"name": "b", "address": server.address}],
            "shutdown": {"delay": "0s"},
        }
        made = Instance(tmp_path_factory.mktemp("conformance"), json.dumps(document)).ready()
        yield made
        made.destroy()


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_the_public_suite_over_a_socket(instance: Instance, name: str) -> None:
    with SocketTalk(instance.port) as talk:
        runs(talk, CASES[name])
    assert "Traceback" not in instance.log, instance.log
