"""Sessions in whole instances of four workers."""

from __future__ import annotations

import http.client
import json
import os
import signal
import urllib.request
from collections.abc import Callable

import pytest
from instance_process import Instance, Origin, until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

Run = Callable[..., Instance]
Origins = Callable[..., Origin]

HTTP = {"mode": "http", "workers": 4}


def ask(instance: Instance, **fields: str) -> tuple[str, str | None]:
    """The name of who answered a request on a new connection, which any worker may get, and the cookie that came with it."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=20)
    try:
        connection.request("GET", "/", headers={name.replace("_", "-"): value for name, value in fields.items()})
        response = connection.getresponse()
        cookie = response.getheader("Set-Cookie")
        return response.read().decode(), cookie.partition(";")[0] if cookie else None
    finally:
        connection.close()


def order(instance: Instance, name: str, state: str) -> None:
    change(instance, name, {"state": state})


def change(instance: Instance, name: str, values: object) -> None:
    """What an operator says at run time."""
    url = f"http://127.0.0.1:{instance.admin_port}/backends/{name}"
    request = urllib.request.Request(url, json.dumps(values).encode(), method="PATCH")
    with urllib.request.urlopen(request, timeout=20):
        pass


@pytest.mark.long
def test_a_cookie_is_known_to_every_worker(run: Run, origins: Origins) -> None:
    backends = [{"name": name, "address": origins(name).address} for name in ("b1", "b2", "b3")]
    instance = run(backends=backends, session_affinity={"enabled": True}, **HTTP).ready()
    home, cookie = ask(instance)
    assert cookie is not None
    assert [ask(instance, Cookie=cookie) for _ in range(40)] == [(home, None)] * 40
    for pid in instance.children("balance-worker"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(instance.children("balance-worker")) == 4, "successors")
    until(lambda: ask(instance, Cookie=cookie) == (home, None), "the same backend")
    order(instance, home, "drain")
    assert [ask(instance, Cookie=cookie) for _ in range(20)] == [(home, None)] * 20
    assert home not in {ask(instance)[0] for _ in range(20)}
    order(instance, home, "maintenance")
    until(lambda: ask(instance, Cookie=cookie)[0] != home, "another backend")
    other, moved = ask(instance, Cookie=cookie)
    assert moved not in (None, cookie)
    order(instance, home, "enable")
    assert [ask(instance, Cookie=str(moved)) for _ in range(20)] == [(other, None)] * 20


@pytest.mark.long
def test_a_shared_secret_keeps_cookies_across_restarts(run: Run, origins: Origins) -> None:
    backends = [{"name": name, "address": origins(name).address} for name in ("b1", "b2", "b3")]
    affinity = {"enabled": True, "secret": "the same"}
    home, cookie = ask(run(backends=backends, session_affinity=affinity, **HTTP).ready())
    other = run(backends=backends[::-1], session_affinity=affinity, **HTTP).ready()
    assert [ask(other, Cookie=str(cookie)) for _ in range(12)] == [(home, None)] * 12
    stranger = run(backends=backends, session_affinity={"enabled": True}, **HTTP).ready()
    assert ask(stranger, Cookie=str(cookie))[1] is not None


@pytest.mark.long
def test_a_field_leads_to_one_backend_through_every_worker_also_after_their_death(run: Run, origins: Origins) -> None:
    backends = [{"name": name, "address": origins(name).address} for name in ("b1", "b2", "b3")]
    affinity = {"enabled": True, "mode": "header", "header": "X-User"}
    instance = run(backends=backends, session_affinity=affinity, load_balancer={"algorithm": "random"}, **HTTP).ready()
    homes = {user: ask(instance, X_User=user)[0] for user in map(str, range(30))}
    assert len(set(homes.values())) == 3
    for _ in range(4):
        assert {user: ask(instance, X_User=user)[0] for user in homes} == homes
    for pid in instance.children("balance-worker"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(instance.children("balance-worker")) == 4, "successors")
    until(lambda: ask(instance, X_User="0")[0] == homes["0"], "an answer")
    assert {user: ask(instance, X_User=user)[0] for user in homes} == homes
    instance.counts("balance_sessions_total", 30)


@pytest.mark.parametrize("mode", ["cookie", "header"])
def test_a_change_at_run_time_moves_no_session(run: Run, origins: Origins, mode: str) -> None:
    backends = [{"name": name, "address": origins(name).address} for name in ("b1", "b2", "b3")]
    affinity = {"enabled": True, "mode": mode} | ({"header": "X-User"} if mode == "header" else {})
    balancer = {"algorithm": "weighted-round-robin"}
    instance = run(backends=backends, session_affinity=affinity, load_balancer=balancer, **HTTP).ready()
    homes, cookies = {}, {}
    for user in map(str, range(12)):
        homes[user], cookies[user] = ask(instance, X_User=user)
    change(instance, "b1", {"weight": 50})
    instance.saying("configuration 2 is served")
    for user, home in homes.items():
        fields = {"X_User": user} | ({"Cookie": str(cookies[user])} if mode == "cookie" else {})
        assert [ask(instance, **fields) for _ in range(4)] == [(home, None)] * 4
