"""nginx in front of Balance, over a Unix socket: whose request it is."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from instance_process import Instance
from server_processes import APPS, ServerProcesses, free_port, program

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

CLIENTS = 40


class Mirror(BaseHTTPRequestHandler):
    """Answers with its own port and what it was told of the client."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = {name.lower(): value for name, value in self.headers.items() if name.lower() != "x-request-id"}
        body = json.dumps({"port": self.server.server_address[1], **told}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def front(processes: ServerProcesses) -> Iterator[tuple[str, Instance]]:
    """nginx's address, and the Balance behind it before three backends."""
    mirrors = [ThreadingHTTPServer(("127.0.0.1", 0), Mirror) for _ in range(3)]
    for mirror in mirrors:
        threading.Thread(target=mirror.serve_forever, args=(0.05,), daemon=True).start()
    document = {
        "listen": f"unix:{processes.folder}/balance.sock",
        "workers": 2,
        "admin": {"listen": "127.0.0.1:0"},
        "shutdown": {"delay": "0s"},
        "load_balancer": {"algorithm": "maglev", "hash_key": "source-ip"},
        "security": {"trusted_proxies": ["unix"]},
        "backends": [{"address": f"127.0.0.1:{mirror.server_address[1]}"} for mirror in mirrors],
    }
    instance = Instance(processes.folder, json.dumps(document)).ready()
    address = f"127.0.0.1:{free_port()}"
    config = processes.folder / "front.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # Balance's socket is for its own user and group
    config.write_text((APPS / "front.conf").read_text().format(folder=processes.folder, address=address, user=user))
    error_log = str(processes.folder / "front.log")
    processes.start("front", [program("nginx"), "-p", str(processes.folder), "-e", error_log, "-c", str(config)])
    processes.wait_for({"front": address})
    yield address, instance
    instance.destroy()
    for mirror in mirrors:
        mirror.shutdown()
        mirror.server_close()


def ask(address: str, path: str = "/", *, own: str = "127.0.0.1", **fields: str) -> dict[str, object]:
    """What the backend was told, of a client at the address `own`."""
    host, _, port = address.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=20, source_address=(own, 0))
    connection.request("GET", path, headers={"Host": "site.example", **{k.replace("_", "-"): v for k, v in fields.items()}})
    reply = connection.getresponse()
    assert reply.status == 200
    told: dict[str, object] = json.loads(reply.read())
    connection.close()
    return told


def test_a_client_is_told_of_by_the_proxy_and_not_by_itself(front: tuple[str, Instance]) -> None:
    told = ask(front[0], own="127.0.0.9", X_Forwarded_For="6.6.6.6", X_Real_IP="6.6.6.6", Forwarded="for=6.6.6.6")
    del told["port"]
    told.pop("accept-encoding")
    assert told == {
        "host": "site.example",
        "x-forwarded-for": "6.6.6.6, 127.0.0.9",
        "x-real-ip": "127.0.0.9",
        "x-forwarded-proto": "https",
        "x-forwarded-port": "443",
        "x-forwarded-host": "site.example",
    }


def test_a_second_nginx_on_a_unix_socket_is_one_more_hop(front: tuple[str, Instance]) -> None:
    told = ask(front[0], "/twice", own="127.0.0.8")
    assert (told["x-forwarded-for"], told["x-real-ip"]) == ("127.0.0.8, unix:", "127.0.0.8")


@pytest.mark.parametrize("written", ["192.0.2.{}:5678", "[2001:db8:0:{}::1]:5678", "::ffff:192.0.2.{}", "192.0.2.{}, "])
def test_each_client_has_a_backend_of_its_own_over_all_workers(front: tuple[str, Instance], written: str) -> None:
    first, again = (
        [ask(front[0], "/written", X_Written=written.format(number))["port"] for number in range(CLIENTS)] for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 3


def test_what_can_not_be_read_is_warned_about_and_spread(front: tuple[str, Instance]) -> None:
    told = [ask(front[0], "/written", X_Written=f"client-{number}") for number in range(CLIENTS)]
    assert len({each["port"] for each in told}) == 3
    assert not any("x-real-ip" in each for each in told)
    front[1].saying(
        r"warning worker \d: from a trusted proxy \(a Unix socket\): X-Forwarded-For: 'client-\d+' is no address: nobody"
    )
    assert front[1].log.count("is no address") <= 2  # once a minute for each worker
