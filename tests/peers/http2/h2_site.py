"""A site behind Balance for clients and servers of HTTP/2 that others wrote, and what each client must find there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from instance_process import Instance
from pem_files import Pair, authority
from server_processes import START_TIMEOUT_S, ServerProcesses, free_port, program

APPS = Path(__file__).parent / "apps"
SITE_APPS = Path(__file__).parents[1] / "apps"  # of the battery over HTTP/1.1
ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 4 * START_TIMEOUT_S

CA = authority()
SITE = CA.issue("site.example", "site.example", "IP:127.0.0.1")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


UPLOAD = bytes(range(256)) * 8000  # 2 MB
BIG = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(160_000))
FOUND = {
    "many": 40,
    "head": [200, "6", 0],
    "statuses": [204, 404, 500],
    "big": [sha(BIG)] * 3,
    "pieces": sha(BIG[:50_000]),
    "upload": sha(UPLOAD),
    "protocol": "HTTP/2.0",
}


class Front:
    """An instance with a TLS listener and one without, before the same backends, which speak `protocol`."""

    def __init__(
        self, folder: Path, backends: dict[str, str], protocol: str = "", workers: int = 1, calls: str = "", **keys: Any
    ) -> None:
        """`backends`: addresses by their names; one that begins with `h2c ` speaks that, whatever the others speak. `calls`:
        of a server of gRPC, which has a listener of that name."""
        site = []
        for name, address in backends.items():
            own = "h2c" if address.startswith("h2c ") else protocol
            site.append({"name": name, "address": address.removeprefix("h2c "), **({"protocol": own} if own else {})})
        document: dict[str, Any] = {
            "workers": workers,
            "admin": {"listen": "127.0.0.1:0"},
            "shutdown": {"delay": "0s", "restart_drain": "10m"},
            "http": {"h2c": True},
            "tls": {"backend": {"enabled": False, "ca_file": str(CA.cert), "server_name": "site.example"}},
            "listeners": [
                {"name": "plain", "listen": "127.0.0.1:0", "mode": "http", "pool": "site"},
                {
                    "name": "secure",
                    "listen": "127.0.0.1:0",
                    "mode": "http",
                    "pool": "site",
                    "tls": {"cert_file": str(SITE.cert), "key_file": str(SITE.key), "alpn_protocols": ["h2", "http/1.1"]},
                },
            ],
            "pools": {"site": {"backends": site}},
        }
        if calls:
            document["listeners"].append({"name": "calls", "listen": "127.0.0.1:0", "mode": "http", "pool": "calls"})
            document["pools"]["calls"] = {"backends": [{"name": "grpc", "address": calls, "protocol": "h2c"}]}
        self.instance = Instance(folder, json.dumps({**document, **keys})).ready()

    def address(self, listener: str) -> str:
        return "127.0.0.1:" + self.instance.saying(rf"listener {listener}: \w+ on \S*:(\d+) to ")[1]

    @property
    def plain(self) -> str:
        return f"http://{self.address('plain')}"

    @property
    def secure(self) -> str:
        return f"https://{self.address('secure')}"

    def close(self) -> None:
        self.instance.destroy()


def run(*command: str, sent: bytes | None = None, **environ: str) -> bytes:
    """What a program prints, which must succeed."""
    done = subprocess.run(
        command, input=sent, capture_output=True, check=False, timeout=PATIENCE_S, env={**os.environ, **environ}
    )
    assert done.returncode == 0, (command, done.stdout[-1000:], done.stderr[-2000:])
    return done.stdout


def node_client(url: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(program("node"), str(APPS / "client.js"), url, *words))
    return found


def go_site(folder: Path) -> Path:
    """Go's client and server, compiled once a folder."""
    made = folder / "go-site"
    if not made.exists():
        keys = {"GOCACHE": str(folder / "go-cache"), "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
        run(program("go"), "build", "-o", str(made), str(APPS / "site.go"), **keys)
        shutil.rmtree(folder / "go-cache", ignore_errors=True)
    return made


def go_client(folder: Path, url: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(str(go_site(folder)), "client", url, *words))
    return found


def node_modules() -> str:
    """Where @grpc/grpc-js is. Where it is not the test is skipped, except in CI."""
    for place in (*os.environ.get("NODE_PATH", "").split(os.pathsep), str(ROOT / "build" / "node" / "node_modules")):
        if place and Path(place, "@grpc", "grpc-js").is_dir():
            return place
    why = "@grpc/grpc-js is not installed; `python3 cmd/check` installs it or says how"
    pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


def grpc_js(address: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run(program("node"), str(APPS / "grpc_client.js"), address, *words, NODE_PATH=node_modules())
    )
    return found


def curl(*words: str, sent: bytes = b"") -> bytes:
    options = ["--silent", "--show-error", "--noproxy", "*", "--insecure", "--max-time", f"{PATIENCE_S:g}"]
    return run(program("curl"), *options, *words, sent=sent)


def curl_client(url: str, *how: str) -> dict[str, Any]:
    """What curl finds, asked to speak HTTP/2 by `how`."""
    urls = [f"{url}/hello?{number}" for number in range(40)]
    if "--http2-prior-knowledge" in how:  # curl 7.88 can't use such a connection again
        hello = b"".join(curl(*how, each) for each in urls)
    else:
        hello = curl(*how, "--parallel", "--parallel-max", "40", *urls)
    head = curl(*how, "--head", f"{url}/hello", "--write-out", "%{http_code} %{size_download}").decode().lower()
    length = re.search(r"content-length: (\d+)", head)
    statuses = [
        int(curl(*how, "--output", "/dev/null", "--write-out", "%{http_code}", f"{url}/status/{status}"))
        for status in (204, 404, 500)
    ]
    return {
        "many": hello.count(b"hello\n"),
        "head": [int(head.split()[-2]), length[1] if length else "", int(head.split()[-1])],
        "statuses": statuses,
        "big": [sha(curl(*how, f"{url}/big")) for _ in range(3)],
        "pieces": sha(curl(*how, f"{url}/pieces")),
        "upload": json.loads(curl(*how, "--data-binary", "@-", f"{url}/echo", sent=UPLOAD))["sha"],
        "protocol": "HTTP/"
        + curl(*how, "--output", "/dev/null", "--write-out", "%{http_version}", f"{url}/hello").decode()
        + ".0",
    }


def start_hypercorn(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "hypercorn", "--bind", address, "asgi:application"]
    processes.start("hypercorn", command, PYTHONPATH=str(SITE_APPS))
    return address


def start_granian(processes: ServerProcesses) -> str:
    pytest.importorskip("granian")
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--http", "2", "--host", "127.0.0.1", "--port", port]
    processes.start("granian", [*command, "asgi:application"], PYTHONPATH=str(SITE_APPS))
    return address


def start_node(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    processes.start("node h2", [program("node"), str(APPS / "server.js"), address])
    return address


def start_secure_node(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    processes.start("node h2 tls", [program("node"), str(APPS / "server.js"), address, str(SITE.cert), str(SITE.key)])
    return f"https://{address}"


def start_go(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    processes.start("go", [str(go_site(processes.folder)), "server", address, str(SITE.cert), str(SITE.key)])
    return f"https://{address}"


def start_nghttpd(processes: ServerProcesses, *, tls: Pair | None = None) -> str:
    """It serves files: /hello, /big and /pieces."""
    address = f"127.0.0.1:{free_port()}"
    files = processes.folder / "nghttpd-files"
    files.mkdir(exist_ok=True)
    for name, content in (("hello", b"hello\n"), ("big", BIG), ("pieces", BIG[:50_000])):
        (files / name).write_bytes(content)
    port = address.rpartition(":")[2]
    options = ["--address", "127.0.0.1", "-d", str(files), "--echo-upload", "--verbose"]
    ends = ["--no-tls", port] if tls is None else [port, str(tls.key), str(tls.cert)]
    processes.start("nghttpd", [program("nghttpd"), *options, *ends])
    return address if tls is None else f"https://{address}"


def start_grpc(processes: ServerProcesses) -> str:
    address = f"127.0.0.1:{free_port()}"
    processes.start("grpc", [sys.executable, str(APPS / "grpc_server.py"), address])
    return address
