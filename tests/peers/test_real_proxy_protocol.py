"""The PROXY protocol with those who made it known: HAProxy and nginx before Balance, nginx and HAProxy behind it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from instance_process import Instance, until
from server_processes import ServerProcesses, free_port, program

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
FRONTS = {
    "haproxy-v1": "send-proxy",
    "haproxy-v2": "send-proxy-v2",
    "haproxy-v2-crc": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    "nginx": "",
}
BACKS = ("nginx", "haproxy")
VERSIONS = ("v1", "v2")
MODES = ("http", "tcp")
CLIENT = "127.0.0.9"

BACK_NGINX = """\
daemon off; pid {folder}/back-nginx.pid; worker_processes 1; events {{}}
http {{ access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
server {{ listen {back} proxy_protocol; location / {{ return 200 "$proxy_protocol_addr"; }} }} }}
"""
FRONT_NGINX = """\
load_module {module}; daemon off; pid {folder}/front-nginx.pid; worker_processes 1; events {{}}
stream {{ {servers} }}
"""
HAPROXY = """\
defaults
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend back
    mode http
    bind {back} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src]"
"""


class Chain(NamedTuple):
    instance: Instance
    fronts: dict[tuple[str, str, str, str], str]  # (front, mode, back, version): where the client connects to


@pytest.fixture(scope="module")
def chain(processes: ServerProcesses) -> Iterator[Chain]:
    folder = processes.folder
    nginx, haproxy = program("nginx"), program("haproxy")
    if not STREAM_MODULE.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "nginx has no stream module: apt-get install libnginx-mod-stream"
        )
    backs = {name: f"127.0.0.1:{free_port()}" for name in BACKS}
    inner = {(mode, back, version): f"127.0.0.1:{free_port()}" for mode in MODES for back in BACKS for version in VERSIONS}
    fronts = {(front, *key): f"127.0.0.1:{free_port()}" for front in FRONTS for key in inner}
    document = {
        "workers": 2,
        "admin": {"listen": "127.0.0.1:0"},
        "shutdown": {"delay": "0s"},
        "proxy_protocol": {"accept": True, "trusted": ["127.0.0.1"]},
        "health_check": {"enabled": True, "type": "http", "path": "/", "interval": "1s", "timeout": "500ms"},
        "listeners": [
            {"name": f"{mode}-{back}-{version}", "mode": mode, "listen": address, "pool": f"{back}-{version}"}
            for (mode, back, version), address in inner.items()
        ],
        "pools": {
            f"{back}-{version}": {
                "proxy_protocol": {"send": version},
                "backends": [{"name": f"{back}-{version}", "address": address}],
            }
            for back, address in backs.items()
            for version in VERSIONS
        },
    }
    text = HAPROXY.format(back=backs["haproxy"])
    servers = ""
    for (front, *key), address in fronts.items():
        to = inner[key[0], key[1], key[2]]
        if front == "nginx":
            servers += f"server {{ listen {address}; proxy_pass {to}; proxy_protocol on; }}\n"
        else:
            name = "-".join((front, *key))
            text += f"listen {name}\n    mode tcp\n    bind {address}\n    server s {to} {FRONTS[front]}\n"
    (folder / "haproxy.cfg").write_text(text)
    (folder / "back.conf").write_text(BACK_NGINX.format(folder=folder, back=backs["nginx"]))
    (folder / "front.conf").write_text(FRONT_NGINX.format(folder=folder, module=STREAM_MODULE, servers=servers))
    processes.start("haproxy", [haproxy, "-db", "-f", str(folder / "haproxy.cfg")])
    for name in ("back", "front"):
        processes.start(name, [nginx, "-p", str(folder), "-e", str(folder / f"{name}.log"), "-c", str(folder / f"{name}.conf")])
    processes.wait_for(backs)
    instance = Instance(folder, json.dumps(document)).ready()
    processes.wait_for({"-".join(key): address for key, address in fronts.items()})
    yield Chain(instance, fronts)
    instance.destroy()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("front", FRONTS)
def test_the_client_is_known_at_the_end_of_the_chain(chain: Chain, front: str, mode: str, back: str, version: str) -> None:
    host, _, port = chain.fronts[front, mode, back, version].rpartition(":")
    for own in (CLIENT, "127.0.0.10"):
        connection = HTTPConnection(host, int(port), timeout=20, source_address=(own, 0))
        for _ in range(2):
            connection.request("GET", "/")
            reply = connection.getresponse()
            assert (reply.status, reply.read().decode()) == (200, own)
        connection.close()


def test_health_checks_pass_where_a_header_is_needed(chain: Chain) -> None:
    def states() -> set[str]:
        return {each["state"] for each in chain.instance.ask("/backends")[1]["backends"]}

    until(lambda: states() == {"healthy"}, lambda: f"{states()}")
