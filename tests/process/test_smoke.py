"""The smoke test for users (`tests/smoke`) on instances that are well, that have little, and that somebody has broken."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SMOKE = Path(__file__).resolve().parents[1] / "smoke"
sys.path.insert(0, str(SMOKE))

from checks import CHECKS, FAILS, HOLDS, NOT_CONFIGURED, NOT_TRIED, Options, leads_to  # noqa: E402
from instance import Instance as Seen  # noqa: E402
from instance import Server  # noqa: E402
from instance_process import Instance  # noqa: E402

Changed = tuple[int, dict[str, str], bytes]


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Between(BaseHTTPRequestHandler):
    """Hands requests and replies on, and may change both: an instance that does something wrong."""

    target = ""
    request_changed: Callable[[str, dict[str, str]], None]
    reply_changed: Callable[[str, int, dict[str, str], bytes], Changed]

    def do_GET(self) -> None:
        fields = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        type(self).request_changed(self.path, fields)
        try:
            with urllib.request.urlopen(urllib.request.Request(self.target + self.path, headers=fields), timeout=20) as reply:
                status, headers, body = reply.status, dict(reply.headers), reply.read()
        except urllib.error.HTTPError as error:
            status, headers, body = error.code, dict(error.headers), error.read()
        status, headers, body = type(self).reply_changed(self.path, status, headers, body)
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    class Backlogged(ThreadingHTTPServer):
        request_queue_size = 64
        daemon_threads = True

    with Backlogged(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def between(
    url: str,
    *,
    request: Callable[[str, dict[str, str]], None] = lambda path, fields: None,
    reply: Callable[[str, int, dict[str, str], bytes], Changed] = lambda path, status, headers, body: (status, headers, body),
) -> Iterator[str]:
    kind = type("Changing", (Between,), {
        "target": url, "request_changed": staticmethod(request), "reply_changed": staticmethod(reply)
    })  # fmt: skip
    with serving(kind) as address:
        yield f"http://{address}"


@pytest.fixture(scope="module")
def backends() -> Iterator[list[str]]:
    with serving(Backend) as one, serving(Backend) as two, serving(Backend) as three:
        yield [one, two, three]


def document(backends: list[str]) -> str:
    members = [{"name": f"b{number}", "address": address, "weight": number} for number, address in enumerate(backends, 1)]
    return json.dumps(
        {
            "mode": "http",
            "listen": "127.0.0.1:0",
            "workers": 2,
            "http": {
                "routes": [
                    {"name": "limited", "path": "/limited", "pool": "web",
                     "rate_limit": {"enabled": True, "type": "sliding-window", "window": "1h", "max_requests": 30}},
                    {"name": "sticky", "path": "/sticky", "pool": "sticky"},
                    {"name": "all", "pool": "web"},
                ]
            },
            "pools": {
                "web": {"backends": members, "load_balancer": {"algorithm": "weighted-round-robin"}},
                "sticky": {"backends": members, "session_affinity": {"enabled": True, "secret": "0123456789abcdef" * 2}},
            },
            "circuit_breaker": {"enabled": True},
            "shutdown": {"delay": "0s"},
            "admin": {"listen": "127.0.0.1:0"},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def well(backends: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its two URLs."""
    instance = Instance(tmp_path_factory.mktemp("well"), document(backends)).ready()
    yield f"http://127.0.0.1:{instance.port}", f"http://127.0.0.1:{instance.admin_port}"
    instance.process.terminate()
    instance.process.wait()


def seen(proxy: str, admin: str) -> Seen:
    tls = ssl.create_default_context()
    return Seen(Server(proxy, tls, 20), Server(admin, tls, 20))


def smoke(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", "-S", str(SMOKE), *words], capture_output=True, text=True, timeout=60)


@pytest.mark.long
def test_all_holds_where_all_is_well(well: tuple[str, str]) -> None:
    done = smoke("--proxy", well[0], "--admin", well[1], "--orders")
    verdicts = {line[:14].strip(): line[14:30].strip() for line in done.stdout.splitlines()[2:]}
    assert (done.returncode, done.stderr) == (0, "")
    assert verdicts == dict.fromkeys(CHECKS, HOLDS), done.stdout


@pytest.mark.long
def test_what_is_not_there_is_said_and_not_passed(backends: list[str], tmp_path: Path) -> None:
    text = {"mode": "http", "listen": "127.0.0.1:0", "backends": [{"address": backends[0]}], "shutdown": {"delay": "0s"},
            "admin": {"listen": "127.0.0.1:0", "dashboard": False}}  # fmt: skip
    instance = Instance(tmp_path, json.dumps(text)).ready()
    try:
        done = smoke("--proxy", f"127.0.0.1:{instance.port}", "--admin", f"127.0.0.1:{instance.admin_port}", "--json")
    finally:
        instance.process.terminate()
        instance.process.wait()
    results = {name: each["verdict"] for name, each in json.loads(done.stdout).items()}
    assert results == {
        "health": HOLDS, "distribution": NOT_CONFIGURED, "stickiness": NOT_CONFIGURED, "breaker": NOT_CONFIGURED,
        "metrics": HOLDS,
        "dashboard": NOT_CONFIGURED, "25 at once": HOLDS, "drain": NOT_TRIED, "rate limit": NOT_CONFIGURED,
    }  # fmt: skip
    assert done.returncode == 0


def never_sticky(path: str, fields: dict[str, str]) -> None:
    for name in [name for name in fields if name.lower() == "cookie"]:
        del fields[name]


def not_ready(path: str, status: int, headers: dict[str, str], body: bytes) -> Changed:
    return (503, headers, b"starting") if path == "/ready" else (status, headers, body)


def without_counters(path: str, status: int, headers: dict[str, str], body: bytes) -> Changed:
    return status, headers, body.replace(b"balance_connections_total", b"other")


def other_breakers(path: str, status: int, headers: dict[str, str], body: bytes) -> Changed:
    return status, headers, body.replace(b'state="closed"} 1.0', b'state="closed"} 0.0')


def always_a_page(path: str, status: int, headers: dict[str, str], body: bytes) -> Changed:
    return 200, headers, body


def no_limit(path: str, status: int, headers: dict[str, str], body: bytes) -> Changed:
    return (200, headers, b"ok") if status == 429 else (status, headers, body)


def one_in_ten_fails(path: str, status: int, headers: dict[str, str], body: bytes) -> Changed:
    return (502 if time.monotonic_ns() % 3 == 0 else status), headers, body


@pytest.mark.long
@pytest.mark.parametrize(
    ("check", "is_admin", "changes", "words"),
    [
        ("health", True, {"reply": not_ready}, "/ready says 503: starting"),
        ("distribution", False, {"reply": one_in_ten_fails}, "requests were answered 502"),
        ("stickiness", False, {"request": never_sticky}, "10 requests of one session went to"),
        ("breaker", True, {"reply": other_breakers}, "is closed on /backends and [] in /metrics"),
        ("metrics", True, {"reply": without_counters}, "no balance_connections_total in /metrics"),
        ("dashboard", True, {"reply": always_a_page}, "a path that is none says 200"),
        ("25 at once", False, {"reply": one_in_ten_fails}, "statuses"),
        ("rate limit", False, {"reply": no_limit}, "requests to /limited and no 429"),
    ],
)
def test_what_is_broken_fails(well: tuple[str, str], check: str, is_admin: bool, changes: Any, words: str) -> None:
    proxy, admin = well
    with between(admin if is_admin else proxy, **changes) as url:
        instance = seen(proxy, url) if is_admin else seen(url, admin)
        verdict, detail = CHECKS[check](instance, Options())
    assert (verdict, words in detail) == (FAILS, True), detail


@pytest.mark.long
def test_a_backend_that_gets_nothing_is_noticed(well: tuple[str, str]) -> None:
    def without_b3(path: str, status: int, headers: dict[str, str], body: bytes) -> Changed:
        found = json.loads(body)
        for backend in found.get("backends", []):
            if backend["name"] == "b3":
                backend["requests"] = 0
        return status, headers, json.dumps(found).encode()

    with between(well[1], reply=without_b3) as admin:
        verdict, detail = CHECKS["distribution"](seen(well[0], admin), Options())
    assert verdict == FAILS
    assert "b3 got 0" in detail


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: --proxy, --admin"),
        (["--proxy", "x", "--admin", "http://127.0.0.1:1"], "Connection refused"),
        (["--proxy", "ftp://x", "--admin", "http://127.0.0.1:1"], "is no URL"),
    ],
)
def test_who_can_not_ask_is_told_with_status_2(words: list[str], message: str) -> None:
    done = smoke(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_another_server_is_not_taken_for_an_instance(backends: list[str]) -> None:
    done = smoke("--proxy", f"http://{backends[0]}", "--admin", f"http://{backends[1]}")
    assert (done.returncode, "is not that of a Balance" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("match", "path", "leads"),
    [
        ({"path_operator": "exact", "path": "/a"}, "/a", True),
        ({"path_operator": "exact", "path": "/a"}, "/ab", False),
        ({"path_operator": "prefix", "path": "/a"}, "/a/b", True),
        ({"path_operator": "", "path": ""}, "/x", True),
        ({"path_operator": "regex", "path": "^/a"}, "/a", False),
        ({"path_operator": "exact", "path": "/a", "host": "h"}, "/a", False),
        ({"path_operator": "exact", "path": "/a", "methods": ["POST"]}, "/a", False),
    ],
)
def test_a_path_that_leads_to_a_route(match: dict[str, Any], path: str, leads: bool) -> None:
    whole = {"host": "", "headers": [], "query": [], "cookies": [], "methods": [], **match}
    assert leads_to({"match": whole}, path) is leads
