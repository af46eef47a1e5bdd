"""What real servers take for a page under /admin: a rule that denies it is not passed by another way to write it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Balance, Before
from server_processes import ServerProcesses, start_gunicorn, start_nginx, start_uvicorn
from talking import Talk

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

STARTS: dict[str, Callable[[ServerProcesses], str]] = {
    "nginx": start_nginx,
    "uvicorn": start_uvicorn,
    "gunicorn": lambda processes: start_gunicorn(processes, "sync"),
}
ADMIN = [
    "/admin", "/admin/x", "/%61dmin", "//admin", "/./admin", "/.//admin", "/x/../admin", "/x//../admin", "/x/%2e%2e/admin",
    "/x/.%2E/admin", "/admin%2f..", "/admin%2fx", "/admin;x", "/admin;x/y", "/;x/admin", "/x/..;/admin", "/x%2f..%2fadmin",
    "/%2fadmin", "/admin/../admin", "/admin/%2e%2e/admin", "/%2e/%61%64%6d%69%6e", "/admin?x", "/../admin", "/%2561dmin",
    "/admin%00", "/admin%3fx", "/admin%3bx", "/admin%5cx", "/\\admin", "/admin#x",
]  # fmt: skip
OTHERS = ["/@scope%2fname", "/page;jsessionid=1", "/page", "/my%20file", "//page", "/x/../page", "/hello"]

POLICY = {"rules": [{"when": {"subject": "path", "prefix": "/admin"}, "action": "deny"}]}
# The routes of three ways to guard /admin: by a rule, by a route that leads nowhere, behind a prefix that is stripped.
GUARDS: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "rule": lambda pool: [{"name": "all", "pool": pool, "policy": POLICY}],
    "route": lambda pool: [
        {"name": "admin", "path_prefix": "/admin", "respond": {"status": 403}},
        {"name": "all", "pool": pool},
    ],
    "strip": lambda pool: [
        {"name": "api", "path_prefix": "/api", "pool": pool, "transform": {"strip_prefix": "/api"}},
        {"name": "all", "pool": pool, "policy": POLICY},
    ],
}


class Guarded:
    def __init__(self, own: dict[str, str], balance: Balance) -> None:
        self.own = own
        self._balance = balance

    def by(self, guard: str, normalize: str, name: str) -> str:
        """The address of that guard before that server."""
        return self._balance.addresses[f"{guard} {normalize} {name}"]


@pytest.fixture(scope="module")
def guarded(processes: ServerProcesses, before: Before) -> Iterator[Guarded]:
    own = {name: start(processes) for name, start in STARTS.items()}
    processes.wait_for(own)
    servers, listeners = {}, []
    for guard, normalize, name in itertools.product(GUARDS, ("reject", "forward"), own):
        servers[f"{guard} {normalize} {name}"] = own[name]
        pool = f"{guard}-{normalize}-{name}"
        http = {"normalize": normalize, "routes": GUARDS[guard](pool)}
        listeners.append({"name": pool, "listen": "127.0.0.1:0", "mode": "http", "pool": pool, "http": http})
    yield Guarded(own, before(servers, listeners=listeners, workers=1))


def asked(address: str, path: str) -> tuple[bytes, bytes]:
    """The status and the body of the reply to this path, as it is."""
    talk = Talk(address)
    talk.send(f"GET {path} HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n".encode())
    status = talk.until(b"\r\n\r\n").split()[1]
    body = b""
    try:
        talk.until(b"\0\0")
    except EOFError as end:
        body = end.args[0]
    talk.close()
    return status, body


def is_secret(reply: tuple[bytes, bytes]) -> bool:
    return b"of the admin" in reply[1]


@pytest.mark.parametrize("name", STARTS)
def test_the_paths_would_reach_it(guarded: Guarded, name: str) -> None:
    """So that the tests below mean something."""
    reached = {path for path in ADMIN if is_secret(asked(guarded.own[name], path))}
    assert reached >= {"/admin", "/admin/x", "/%61dmin", "//admin", "/x/../admin", "/x/%2e%2e/admin", "/.//admin"}
    if name != "nginx":
        assert reached >= {"/admin%2f..", "/admin;x", "/x/..;/admin", "/;x/admin"}


@pytest.mark.parametrize("normalize", ["reject", "forward"])
@pytest.mark.parametrize("guard", ["rule", "route"])
@pytest.mark.parametrize("name", STARTS)
def test_no_path_leads_past_a_guard(guarded: Guarded, name: str, guard: str, normalize: str) -> None:
    address = guarded.by(guard, normalize, name)
    replies = {path: asked(address, path) for path in ADMIN}
    assert not [path for path, reply in replies.items() if is_secret(reply)]
    assert {status for status, _ in replies.values()} <= {b"400", b"403", b"404"}
    assert replies["/admin"][0] == b"403"


@pytest.mark.parametrize("normalize", ["reject", "forward"])
@pytest.mark.parametrize("name", STARTS)
def test_no_stripped_path_leads_past_a_guard(guarded: Guarded, name: str, normalize: str) -> None:
    address = guarded.by("strip", normalize, name)
    replies = {path: asked(address, f"/api{path}") for path in ADMIN}
    assert not [path for path, reply in replies.items() if is_secret(reply)]
    assert asked(address, "/api/page")[0] == b"200"


@pytest.mark.parametrize("normalize", ["reject", "forward"])
@pytest.mark.parametrize("guard", ["rule", "route"])
@pytest.mark.parametrize("name", STARTS)
def test_other_paths_arrive_as_they_were_sent(guarded: Guarded, name: str, guard: str, normalize: str) -> None:
    address = guarded.by(guard, normalize, name)
    assert {path: asked(address, path) for path in OTHERS} == {path: asked(guarded.own[name], path) for path in OTHERS}
