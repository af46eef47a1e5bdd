"""The public suite's cases against a whole instance: what the session says is what a client sees."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator

import pytest
from h2_cases import CASES
from h2_talk import runs
from instance_process import Instance
from pem_files import self_signed
from recording_server import RecordingServer
from socket_talk import SocketTalk

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    pair = self_signed("site.example")
    with RecordingServer() as server:
        document = {
            "workers": 1,
            "http": {"h2c": True},
            "listeners": [
                {"name": "main", "listen": "127.0.0.1:0", "mode": "http"},
                {
                    "name": "secure",
                    "listen": "127.0.0.1:0",
                    "mode": "http",
                    "tls": {"cert_file": str(pair.cert), "key_file": str(pair.key)},
                },
            ],
            "backends": [{"name": "b", "address": server.address}],
            "admin": {"listen": "127.0.0.1:0"},
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


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_case_of_the_public_suite_over_tls(instance: Instance, name: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    port = int(instance.saying(r"listener secure: \w+ on \S*:(\d+) to ")[1])
    with SocketTalk(port, tls=context) as talk:
        runs(talk, CASES[name])
    assert "Traceback" not in instance.log, instance.log
