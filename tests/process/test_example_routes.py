"""The example files of routes, transformation, rules and compression before running backends."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from instance_process import PATIENCE_S, Instance

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"

Answer = tuple[int, dict[str, str], str]
Ask = Callable[..., Answer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Ask]]:
    """Starts the instance of an example; each backend is `balance backend --catch-all` with the name that it has there."""
    with ExitStack() as stack:

        def started(name: str) -> str:
            words = [sys.executable, "-m", "balance", "backend", "--port", "0", "--name", name, "--catch-all"]
            process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            stack.callback(process.wait)
            stack.callback(process.terminate)
            stack.callback(process.stdout.close)
            return f"127.0.0.1:{process.stdout.readline().rsplit(':', 1)[1].strip()}"

        def start(example: str) -> Ask:
            text = (EXAMPLES / example).read_text().replace('":8080"', '"127.0.0.1:0"')
            text = re.sub(
                r"name: (\S+), address: [\d.:]+", lambda found: f"name: {found[1]}, address: {started(found[1])}", text
            )
            text = text.replace("workers: auto", "workers: 1\nadmin: {listen: '127.0.0.1:0'}\nshutdown: {delay: 0s}")
            instance = Instance(tmp_path, text).ready()
            stack.callback(instance.destroy)

            def ask(path: str, method: str = "GET", body: bytes | None = None, **fields: str) -> Answer:
                connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=PATIENCE_S)
                try:
                    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
                    response = connection.getresponse()
                    headers = {name.lower(): value for name, value in response.getheaders()}
                    return response.status, headers, response.read().decode("latin-1")
                finally:
                    connection.close()

            return ask

        yield start


def test_the_routes_example(serve: Callable[[str], Ask]) -> None:
    ask = serve("routes.yaml")
    assert ask("/api/users")[2].startswith("api-1 GET /api/users\n")
    assert ask("/api/users", "PATCH")[2].startswith("web-1 PATCH /api/users\n")
    assert ask("/apis")[2].startswith("web-1 GET /apis\n")
    assert ask("/x", Host="eu.one.shop.example.org")[2].startswith("shop-1 GET /x\n")
    assert ask("/x", Host="shop.example.org")[2].startswith("web-1 GET /x\n")
    status, headers, _ = ask("/x?y=1", Host="old.example.org")
    assert (status, headers["location"]) == (301, "http://www.example.org/x?y=1")
    assert ask("/robots.txt")[2] == "User-agent: *\nDisallow: /api/\n"
    assert ask("/api/files", "POST", b"x" * (1 << 20) + b"x")[0] == 413


@pytest.mark.long
def test_the_transform_example(serve: Callable[[str], Ask]) -> None:
    ask = serve("transform.yaml")
    _, headers, text = ask("/v1/items?n=1", Host="www.example.org", X_Debug="1")
    lines = text.splitlines()
    assert lines[0] == "app-1 GET /items?n=1"
    assert {"host: app.internal", "x-forwarded-host: www.example.org", "x-client: 127.0.0.1 over http"} <= set(lines)
    assert not any(line.startswith("x-debug") for line in lines)
    assert (headers["x-content-type-options"], headers.get("server")) == ("nosniff", None)
    assert ask("/users/7/photo")[2].startswith("app-1 GET /photos?user=7\n")
    assert ask("/users/x/photo")[0] == 404


def test_the_rules_example(serve: Callable[[str], Ask]) -> None:
    ask = serve("rules.yaml")
    status, _, text = ask("/admin", X_Forwarded_For="198.51.100.1")
    assert (status, json.loads(text)["why"]) == (403, "denied")
    assert ask("//admin", X_Forwarded_For="198.51.100.1")[0] in (400, 403)
    assert ask("/admin", X_Forwarded_For="192.0.2.7")[2].startswith("web-1 GET /admin\n")
    assert ask("/", User_Agent="BadBot/2", X_Forwarded_For="192.0.2.7")[0] == 403
    assert ask("/x", X_App_Version="1.9", X_Forwarded_For="198.51.100.1")[2].startswith("old-1 GET /x\n")


@pytest.mark.long
def test_the_compression_example(serve: Callable[[str], Ask]) -> None:
    ask = serve("compression.yaml")
    padding = "x" * 2000
    _, headers, text = ask("/x", Accept_Encoding="gzip", X_Padding=padding)
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert len(text) < 1000
    _, headers, text = ask("/account", Accept_Encoding="gzip", X_Padding=padding)
    assert (headers.get("content-encoding"), padding in text) == (None, True)
