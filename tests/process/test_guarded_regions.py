"""A guard by path and by region before running backends: however a path is written, and by whichever prefix it comes."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from instance_process import PATIENCE_S, Instance

CONFIG = """
workers: 2
admin: {{listen: "127.0.0.1:0"}}
shutdown: {{delay: 0s}}
security: {{trusted_proxies: [{trusted}]}}
pools:
  web: {{backends: [{{name: eu-1, address: "{eu}", region: eu}}, {{name: us-1, address: "{us}", region: us}}]}}
listeners:
  - name: main
    listen: "127.0.0.1:0"
    mode: http
    pool: web
    http:
      normalize: {normalize}
      routes:
        - {{name: api, path_prefix: /api, pool: web, transform: {{strip_prefix: /api}}}}
        - name: all
          pool: web
          policy:
            regions:
              header: X-Client-Region
              cidrs: {{eu: [192.0.2.0/24], us: [198.51.100.0/24]}}
              fallback: {{"*": [eu, us]}}
            rules:
              - name: closed
                when: {{subject: region, equals: zz}}
                action: deny
              - name: eu-only
                when: {{all: [{{subject: path, prefix: /admin}}, {{not: {{subject: region, equals: eu}}}}]}}
                action: deny
"""

# Spellings of /admin that a backend may take for it, from tests/peers/test_real_paths.py and the reports behind it.
ADMIN = [
    "/admin", "/admin/x", "/%61dmin", "//admin", "/./admin", "/.//admin", "/x/../admin", "/x//../admin", "/x/%2e%2e/admin",
    "/x/.%2E/admin", "/admin%2f..", "/admin%2fx", "/admin;x", "/admin;x/y", "/;x/admin", "/x/..;/admin", "/x%2f..%2fadmin",
    "/%2fadmin", "/admin/../admin", "/%2e/%61%64%6d%69%6e", "/admin?x", "/../admin", "/admin%00", "/admin%3fx", "/admin%3bx",
    "/admin%5cx", "/\\admin", "/%5cadmin", "/admin#x", "/x/%2e%2e;y/admin", "/..%2fadmin", "/api/../admin",
]  # fmt: skip
OTHERS = ["/@scope%2fname", "/page;jsessionid=1", "/page", "/my%20file", "/hello"]

Ask = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, str]]:
    processes, addresses = [], {}
    for name in ("eu", "us"):
        words = [sys.executable, "-m", "balance", "backend", "--port", "0", "--name", f"{name}-1", "--catch-all"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        processes.append(process)
        addresses[name] = f"127.0.0.1:{process.stdout.readline().rsplit(':', 1)[1].strip()}"
    yield addresses
    for process in processes:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def start(tmp_path: Path, backends: dict[str, str]) -> Iterator[Callable[..., Ask]]:
    made: list[Instance] = []

    def started(normalize: str, trusted: str = "127.0.0.1") -> Ask:
        instance = Instance(tmp_path, CONFIG.format(normalize=normalize, trusted=trusted, **backends)).ready()
        made.append(instance)

        def ask(path: str, *fields: str) -> tuple[int, str]:
            """The status and the body, of a path as it is."""
            lines = "".join(f"{field}\r\n" for field in fields)
            with socket.create_connection(("127.0.0.1", instance.port), PATIENCE_S) as sock:
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n".encode())
                reply = b""
                while data := sock.recv(65536):
                    reply += data
            return int(reply.split()[1]), reply.partition(b"\r\n\r\n")[2].decode("latin-1")

        return ask

    yield started
    for instance in made:
        instance.destroy()


def taken_for(path: str) -> set[bytes]:
    """What this path is to backends: decoded, with and without parameters, `\\` as `/`, without dot segments."""
    decoded = unquote_to_bytes(path.partition("?")[0]).replace(b"\\", b"/").partition(b"\0")[0]
    found = set()
    for whole in (decoded, b"/".join(part.partition(b";")[0] for part in decoded.split(b"/"))):
        out: list[bytes] = []
        for part in whole.split(b"/"):
            if part == b"..":
                out = out[:-1]
            elif part not in (b"", b"."):
                out.append(part)
        found.add(b"/" + b"/".join(out))
    return found


def reached(body: str) -> str:
    """The target that the backend was asked for."""
    return body.split("\n")[0].split(" ")[2] if body else ""


def is_admin(body: str) -> bool:
    return any(path == b"/admin" or path.startswith((b"/admin/", b"/admin;")) for path in taken_for(reached(body)))


FROM = {
    "eu": ("X-Client-Region: eu",),
    "eu by its address": ("X-Forwarded-For: 192.0.2.7",),
    "us": ("X-Client-Region: us",),
    "us by its address": ("X-Forwarded-For: 198.51.100.9",),
    "us, mapped": ("X-Forwarded-For: ::ffff:198.51.100.9",),
    "unknown": (),
    "another case": ("X-Client-Region: EU-",),
    "two regions": ("X-Client-Region: us", "X-Client-Region: eu"),
    "closed": ("X-Client-Region: zz",),
}


@pytest.mark.parametrize("normalize", ["reject", "forward"])
def test_who_may_see_it_and_by_which_path(start: Callable[..., Ask], normalize: str) -> None:
    ask = start(normalize)
    for path, (place, fields) in itertools.product(("/admin", "/api/admin"), FROM.items()):
        status, body = ask(path, *fields)
        assert status == (200 if place.startswith("eu") else 403), (path, place, body)
    for path, (place, fields) in itertools.product(("/page", "/api/page"), FROM.items()):
        status, body = ask(path, *fields)
        assert status == (403 if place == "closed" else 200), (path, place, body)
    assert {ask("/page", *FROM["us"])[1].split(" ")[0] for _ in range(6)} == {"us-1"}


@pytest.mark.long
@pytest.mark.parametrize("normalize", ["reject", "forward"])
def test_no_spelling_leads_past_it(start: Callable[..., Ask], normalize: str) -> None:
    ask = start(normalize)
    passed = []
    for prefix, path, place in itertools.product(("", "/api", "/api/", "/%61pi", "//api"), ADMIN, ("us", "unknown")):
        status, body = ask(prefix + path, *FROM[place])
        assert status in (200, 400, 403, 404), (prefix + path, status)
        if status == 200 and is_admin(body):
            passed.append((prefix + path, place, reached(body)))
    assert passed == []
    for path, place in itertools.product(ADMIN + OTHERS, ("closed",)):
        assert ask(path, *FROM[place])[0] in (400, 403), path
        assert ask("/api" + path, *FROM[place])[0] in (400, 403), path
    for path in OTHERS:
        assert reached(ask(path, *FROM["us"])[1]) == path
        assert reached(ask("/api" + path, *FROM["us"])[1]) == path


def test_a_region_is_believed_of_trusted_proxies_only(start: Callable[..., Ask]) -> None:
    ask = start("reject", trusted="10.9.9.9")
    for fields in FROM.values():
        assert ask("/admin", *fields)[0] == 403
        assert ask("/api/admin", *fields)[0] == 403
        assert ask("/page", *fields)[0] == 200
