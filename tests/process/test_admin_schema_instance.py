"""The admin API of a running instance against its own OpenAPI document, and in the words of older scripts, sent by curl."""

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instance_process import PATIENCE_S, Instance, Origin

pytestmark = pytest.mark.long
TOKEN, READER = "a-token-to-change-things-0123", "a-token-to-read-alone-4567"
SETTINGS = Path(__file__).parents[1] / "admin" / "openapi" / "schemathesis.toml"
# They end the instance or have no end themselves.
APART = "^/(drain|upgrade|restart|events|dashboard/stream)$"


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[Instance]:
    origins = [Origin("one"), Origin("two")]
    one, two = (origin.address for origin in origins)
    text = f"""\
listen: 127.0.0.1:0
backends: [{{name: one, address: "{one}", weight: 3, region: eu}}, {{name: two, address: "{two}"}}]
admin:
  listen: 127.0.0.1:0
  auth: {{tokens: [{{name: ops, token: {TOKEN}}}], read_only_tokens: [{{name: ci, token: {READER}}}]}}
"""
    running = Instance(directory, text)
    try:
        yield running.ready()
    finally:
        running.destroy()
        for origin in origins:
            origin.stop()


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with serving(tmp_path_factory.mktemp("schema")) as running:
        yield running


def asked(
    instance: Instance, method: str, path: str, body: bytes | None = None, token: str = TOKEN, **headers: str
) -> tuple[int, str, bytes]:
    """(status, media type, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", instance.admin_port, timeout=PATIENCE_S)
    given = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, body, given | {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers.get_content_type(), response.read()
    finally:
        connection.close()


def curl(instance: Instance, *words: str) -> tuple[int, str, str]:
    """(status, media type, body) of a request that curl sends; the last word is the path."""
    *options, path = words
    url = f"http://127.0.0.1:{instance.admin_port}{path}"
    command = ["curl", "-s", "--max-time", "20", "-w", "\n%{http_code} %{content_type}", *options, url]
    text, _, said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    status, _, media_type = said.partition(" ")
    return int(status), media_type, text


@pytest.mark.timeout(240)
def test_a_fuzzer_that_goes_by_the_document_finds_no_answer_that_it_does_not_have(tmp_path: Path) -> None:
    with serving(tmp_path) as instance:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", str(SETTINGS), "--no-color", "run", f"http://127.0.0.1:{instance.admin_port}/openapi.json"),
                *("-H", f"Authorization: Bearer {TOKEN}", "--exclude-path-regex", APART, "--phases", "coverage,fuzzing"),
                *("--max-examples", "2", "--seed", "7", "--request-timeout", "10", "--continue-on-failure"),
                "--generation-database=none",
            ],
            capture_output=True,
            text=True,
            timeout=220,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert "Traceback" not in instance.log
        assert instance.get("/health", instance.admin_port)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "token", "headers", "status"),
    [
        ("GET", "/status", None, "", {}, 401),
        ("GET", "/status", None, "wrong", {}, 401),
        ("POST", "/reload", b"", READER, {}, 403),
        ("POST", "/reload", b"", TOKEN, {"Origin": "http://elsewhere.example"}, 403),
        ("POST", "/status", b"", TOKEN, {}, 405),
        ("PUT", "/backends", b"", TOKEN, {}, 405),
        ("TRACE", "/drain", None, TOKEN, {}, 405),
        ("GET", "/backends/none", None, TOKEN, {}, 404),
        ("DELETE", "/backends?url=http://192.0.2.1:1", None, TOKEN, {}, 404),
        ("DELETE", "/backends", None, TOKEN, {}, 400),
        ("POST", "/policy/none/switch", b"", TOKEN, {}, 404),
        ("GET", "/config?generation=99999", None, TOKEN, {}, 404),
        ("GET", "/sessions?id=x", None, TOKEN, {}, 404),
        ("POST", "/backends", b'{"name": "x", "address": "no port"}', TOKEN, {}, 409),
        ("POST", "/reload", b"{}", TOKEN, {"If_Match": '"99999"'}, 409),
        ("POST", "/backends", b"x" * 5000, TOKEN, {}, 413),
        ("POST", "/backends", b"\x1f\x8b", TOKEN, {"Content_Encoding": "gzip"}, 415),
        ("POST", "/blocklist", b"--x--", TOKEN, {"Content_Type": "multipart/form-data; boundary=x"}, 415),
        ("PATCH", "/backends/one", b"{", TOKEN, {}, 400),
        ("GET", "/events?since=x", None, TOKEN, {}, 400),
        ("GET", "/events?follow=perhaps", None, TOKEN, {}, 400),
        ("GET", "/events?follow=false", None, TOKEN, {}, 200),
        ("POST", "/restart", b"", TOKEN, {}, 200),
    ],
)
def test_an_answer_stands_in_the_document_with_its_media_type(
    instance: Instance, method: str, path: str, body: bytes | None, token: str, headers: dict[str, str], status: int
) -> None:
    document = json.loads(asked(instance, "GET", "/openapi.json")[2])
    answered, media_type, text = asked(instance, method, path, body, token, **headers)
    assert answered == status, text
    bare = path.partition("?")[0]
    templates = {
        "/backends/none": "/backends/{name}",
        "/backends/one": "/backends/{name}",
        "/policy/none/switch": "/policy/{route}/switch",
    }
    operations = document["paths"][templates.get(bare, bare)]
    operation = operations.get(method.lower()) or next(iter(operations.values()))  # 405 stands with the others
    assert media_type in operation["responses"][str(status)]["content"]
    assert status == 200 or json.loads(text)["error"]


def test_the_page_and_the_stream_are_of_the_types_that_they_say(instance: Instance) -> None:
    assert asked(instance, "GET", "/")[:2] == (200, "text/html")
    assert asked(instance, "HEAD", "/events")[:2] == (200, "text/event-stream")
    assert asked(instance, "HEAD", "/dashboard/stream")[:2] == (200, "text/event-stream")


@pytest.mark.parametrize(
    ("path", "status"), [("/readiness", "ready"), ("/liveness", "healthy"), ("/health", "healthy"), ("/ready", "ready")]
)
def test_a_probe_by_an_older_name_needs_no_token(instance: Instance, path: str, status: str) -> None:
    answered, media_type, text = curl(instance, path)
    assert (answered, media_type, json.loads(text)["status"]) == (200, "application/json", status)


def test_figures_by_older_names_and_as_json_need_no_token(instance: Instance) -> None:
    status, media_type, text = curl(instance, "/prometheus")
    assert (status, media_type.partition(";")[0]) == (200, "text/plain")
    assert "\nbalance_backend_healthy{" in text
    status, media_type, text = curl(instance, "-H", "Accept: application/json", "/metrics")
    assert (status, media_type) == (200, "application/json")
    one = next(each for each in json.loads(text)["backends"] if each["name"] == "one")
    assert {"url", "alive", "weight", "region", "latency"} <= set(one)
    assert (one["url"].startswith("http://127.0.0.1:"), one["alive"], one["weight"], one["region"]) == (True, True, 3, "eu")


def said(text: str) -> Any:
    return json.loads(text)["changes"]


def test_a_script_that_knows_urls_alone_brings_a_backend_and_takes_it_away(instance: Instance) -> None:
    token = f"Authorization: Bearer {TOKEN}"
    third = Origin("three")
    url = f"http://{third.address}"
    try:
        body = json.dumps({"url": url, "weight": 2})
        assert curl(instance, "-X", "POST", "-d", body, "/backends")[0] == 401
        status, _, text = curl(instance, "-X", "POST", "-H", token, "-d", body, "/backends")
        assert (status, said(text)) == (200, [f"+ backend default/{third.address} ({third.address}, weight 2)"])
        assert any(instance.get("/")[1] == "three" for _ in range(20))
        assert curl(instance, "-X", "POST", "-H", token, "-d", body, "/backends")[0] == 409
        status, _, text = curl(instance, "-X", "DELETE", "-H", token, f"/backends?url={url}")
        assert (status, said(text)) == (200, [f"- backend default/{third.address} ({third.address})"])
        status, _, text = curl(
            instance, "-X", "POST", "-H", token, "-H", "Content-Type: application/json", "-d", body, "/backends"
        )
        assert status == 200
        status, _, text = curl(instance, "-X", "DELETE", "-H", token, "-d", json.dumps({"url": url}), "/backends")
        assert status == 200
        assert curl(instance, "-X", "DELETE", "-H", token, f"/backends?url={url}")[0] == 404
    finally:
        third.stop()
