"""Every endpoint of the admin port, and who may use it: the table of endpoints itself says what is tried."""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from asgi_client import Answer, ask
from fake_instance import TEXT, FakeInstance
from starlette.applications import Starlette

from balance.admin.application import admin_app
from balance.config import load_text
from balance.config.model import Config

CHANGE, CHANGE_NEW, READ = "a-token-to-change-things-0123", "a-new-token-to-change-things-4", "a-token-to-read-alone-4567"
AUTH = f"""\
admin:
  listen: ":9090"
  auth:
    tokens: [{{name: ops, token: {CHANGE}}}, {{name: ops-new, token: {CHANGE_NEW}}}]
    read_only_tokens: [{{name: ci, token: {READ}}}]
"""
OPEN = {"/health", "/healthz", "/livez", "/liveness", "/ready", "/readyz", "/readiness", "/version", "/metrics", "/prometheus"}
# What is sent to an endpoint that changes something; without an entry `{}`, which every one of them has to log, too.
BODIES: dict[str, Any] = {
    "/backends": {"pool": "app", "name": "a3", "address": "127.0.0.1:9004"},
    "/backends/{name}": {"state": "drain"},
    "/blocklist": {"add": "192.0.2.1"},
}


@lru_cache
def config_of(text: str) -> Config:
    return load_text(text, "test.yaml", {}).config


def guarded(text: str = AUTH, *, is_local_only: bool = False) -> tuple[FakeInstance, Starlette]:
    """An instance with that `admin`, and its application."""
    fake_instance = FakeInstance()
    fake_instance.source = fake_instance.source.with_text(TEXT + text)
    fake_instance.view.config = config_of(TEXT + text)
    return fake_instance, admin_app(fake_instance.view, is_local_only=is_local_only)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def endpoints() -> list[tuple[str, str]]:
    """(method, path) of the whole table."""
    _, app = guarded("", is_local_only=True)
    paths = ask(app, "/openapi.json").json["paths"]
    return sorted((method.upper(), path) for path, item in paths.items() for method in item)


SIGN_IN = {"/", "/dashboard/assets/{file}", "/dashboard/session"}  # tests/admin/dashboard has these
TABLE = [(method, path) for method, path in endpoints() if path not in SIGN_IN]
CHANGES = [(method, path) for method, path in TABLE if method != "GET"]
GUARDED = [(method, path) for method, path in TABLE if path not in OPEN]


def send(app: Starlette, method: str, path: str, client: tuple[str, int] = ("127.0.0.1", 5555), **headers: str) -> Answer:
    body = b"" if method in ("GET", "DELETE") else json.dumps(BODIES.get(path, {})).encode()
    query = "?follow=false" if path == "/events" else ""
    if path == "/dashboard/stream":
        method = "HEAD"  # a GET has no end
    return ask(app, path.replace("{name}", "a1").replace("{route}", "shop") + query, method, body, client=client, **headers)


@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), bearer(""), {"Authorization": "Basic b3BzOng="}, bearer(f"{READ}x"), bearer(READ[:-1])]
)
def test_without_a_good_token_only_probes_and_metrics_answer(headers: dict[str, str]) -> None:
    fake_instance, app = guarded()
    for number, (method, path) in enumerate(TABLE):
        answer = send(app, method, path, client=(f"192.0.2.{number}", 1), **headers)
        if path in OPEN:
            assert answer.status == 200
            continue
        assert (method, path, answer.status) == (method, path, 401)
        assert answer.headers["www-authenticate"].startswith('Bearer realm="balance"')
        assert fake_instance.asked == []


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_token_for_reading_changes_nothing(method: str, path: str) -> None:
    fake_instance, app = guarded()
    answer = send(app, method, path, **bearer(READ))
    assert answer.status == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert answer.json["error"] == "token ci may read alone; orders need one of admin.auth.tokens"
    assert fake_instance.asked == []
    (event,) = fake_instance.view.events.since(0)
    assert event.text.startswith("ordered by token ci at 127.0.0.1:5555: ")
    assert event.text.endswith(": refused: it may read alone")


@pytest.mark.parametrize("token", [READ, CHANGE, CHANGE_NEW])
def test_every_token_reads_and_leaves_no_line(token: str) -> None:
    fake_instance, app = guarded()
    for method, path in GUARDED:
        if method == "GET":
            expected = 404 if path == "/sessions/id" or "{pool}" in path else 200  # no such session, no such pool
            assert (path, send(app, "GET", path, **bearer(token)).status) == (path, expected)
    assert fake_instance.view.events.since(0) == []


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("is_nonsense", [False, True])
def test_every_change_leaves_a_line_with_who_from_where_and_what_came_of_it(
    method: str, path: str, is_nonsense: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fake_instance, app = guarded()
    with caplog.at_level(logging.INFO, "balance.admin"):
        if is_nonsense:
            answer = ask(app, path.replace("{name}", "nobody"), method, b"\xff" * 5_000_000, **bearer(CHANGE))
        else:
            answer = send(app, method, path, **bearer(CHANGE))
    assert answer.status not in (401, 403, 500)
    lines = [record.getMessage() for record in caplog.records if "ordered by" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("ordered by token ops at 127.0.0.1:5555: ")
    (event,) = (event for event in fake_instance.view.events.since(0) if event.kind == "order")
    assert (event.text, event.fields) == (lines[0], {"peer": "127.0.0.1:5555", "who": "token ops"})
    assert ("refused: " in lines[0] or "problems" in lines[0]) is (answer.status >= 400)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (bearer(CHANGE), 200),
        ({"Authorization": f"bearer {CHANGE}"}, 200),  # RFC 9110 section 11.1
        ({"Authorization": f"BEARER   {CHANGE}"}, 200),
        (bearer(CHANGE) | {"Host": "balance.example.org"}, 200),  # a name is no rebinding where a token is needed
        (bearer(CHANGE) | {"Host": "h:9090", "Origin": "http://evil.example"}, 403),
        (bearer(CHANGE) | {"Host": "h:9090", "Origin": "null"}, 403),
        (bearer(CHANGE) | {"Host": "h:9090", "Origin": "https://h:9090"}, 200),
        (bearer(CHANGE) | {"Sec-Fetch-Site": "cross-site"}, 403),
        (bearer(f"{CHANGE} {CHANGE}"), 401),
        (bearer(f"{CHANGE}, Bearer {CHANGE}"), 401),
    ],
)
def test_a_token_counts_as_it_is_sent(headers: dict[str, str], status: int) -> None:
    assert send(guarded()[1], "POST", "/blocklist", **headers).status == status


@pytest.mark.parametrize("name", ["token", "access_token", "api_key"])
def test_a_token_in_the_address_is_refused_even_if_it_is_good(name: str) -> None:
    answer = ask(guarded()[1], f"/status?{name}={CHANGE}", **bearer(CHANGE))
    assert answer.status == 400
    assert CHANGE not in answer.text


def test_an_old_token_is_good_until_a_reload_takes_it_out() -> None:
    fake_instance, app = guarded()
    assert [ask(app, "/status", **bearer(token)).status for token in (CHANGE, CHANGE_NEW)] == [200, 200]
    fake_instance.source = fake_instance.source.with_text(TEXT + AUTH.replace(f"{{name: ops, token: {CHANGE}}}, ", ""))
    assert ask(app, "/reload", "POST", b"", **bearer(CHANGE_NEW)).status == 200
    assert [ask(app, "/status", **bearer(token)).status for token in (CHANGE, CHANGE_NEW)] == [401, 200]


def test_a_token_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "ops").write_text(f"{CHANGE}\n")
    (tmp_path / "ci").write_text(f"  {READ}\r\n")
    text = "admin: {auth: {tokens: [{name: ops, token_file: ops}], read_only_tokens: [{name: ci, token_file: ci}]}}\n"
    fake_instance, app = guarded("")
    fake_instance.view.config = load_text(TEXT + text, str(tmp_path / "f.yaml"), {}).config
    assert [send(app, "POST", "/blocklist", **bearer(token)).status for token in (CHANGE, READ)] == [200, 403]


def test_guessing_is_slowed_where_it_comes_from_alone() -> None:
    _, app = guarded()
    statuses = [ask(app, "/status", **bearer(f"guess-{n}")).status for n in range(14)]
    assert statuses == [401] * 10 + [429] * 4
    held_up = ask(app, "/status", **bearer(CHANGE))
    assert (held_up.status, held_up.headers["retry-after"]) == (429, "1")
    assert ask(app, "/status", client=("192.0.2.9", 1), **bearer(CHANGE)).status == 200
    assert ask(app, "/health").status == 200


def test_without_a_token_nobody_has_guessed() -> None:
    _, app = guarded()
    assert {ask(app, "/status").status for _ in range(30)} == {401}
    assert ask(app, "/status", **bearer(READ)).status == 200


def test_refusals_are_told_of_now_and_then_and_show_no_token(caplog: pytest.LogCaptureFixture) -> None:
    _, app = guarded()
    for number in range(9):
        ask(app, "/status", **bearer(f"a-guess-of-a-token-{number}"))
    assert len(caplog.records) == 1
    assert "refused 127.0.0.1:5555: GET /status: the token is not one of those" in caplog.text
    assert "a-guess" not in caplog.text


def test_a_path_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    _, app = guarded("", is_local_only=True)
    with caplog.at_level(logging.INFO, "balance.admin"):
        ask(app, "/backends/a\r\nordered by root", "PATCH", b"{}", client=None)
        assert not caplog.records  # no such path
        ask(app, "/backends/a\x1b[2J\u2028ordered by root", "PATCH", b"{}", client=None)
    assert caplog.records
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_tokens_an_address_that_others_reach_shows_and_changes_nothing(method: str, path: str) -> None:
    fake_instance, app = guarded("")
    answer = send(app, method, path, Host="192.0.2.1:9090")
    assert answer.status == 403
    assert "admin.auth.tokens" in answer.json["error"]
    assert fake_instance.asked == []


# What a page in the browser of somebody on this machine can send, as browsers do it.
PAGES = [
    ("rebound name", {"Host": "rebound.example:9090"}),
    ("form", {"Host": "127.0.0.1:9090", "Origin": "https://evil.example", "Content-Type": "text/plain"}),
    ("sandboxed form", {"Host": "127.0.0.1:9090", "Origin": "null", "Content-Type": "application/x-www-form-urlencoded"}),
    ("page of another port", {"Host": "127.0.0.1:9090", "Origin": "http://127.0.0.1:3000"}),
    (
        "image",
        {"Host": "127.0.0.1:9090", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ),
    ("page of another port, without Origin", {"Host": "localhost:9090", "Sec-Fetch-Site": "same-site"}),
    ("frame", {"Host": "localhost", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}),
]


@pytest.mark.parametrize("headers", [headers for _, headers in PAGES], ids=[name for name, _ in PAGES])
def test_no_web_page_changes_anything_on_this_machine(headers: dict[str, str]) -> None:
    fake_instance, app = guarded("", is_local_only=True)
    for method, path in CHANGES:
        assert (path, send(app, method, path, **headers).status) == (path, 403)
    assert fake_instance.asked == []


@pytest.mark.parametrize("name", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_does_not_open_the_port_to_others(name: str) -> None:
    """nginx sends the backend's address as Host, so that Host alone would let everybody in."""
    _, app = guarded("", is_local_only=True)
    assert send(app, "GET", "/status", **{"Host": "127.0.0.1:9090", name: "203.0.113.9"}).status == 403
    assert send(app, "GET", "/health", **{"Host": "127.0.0.1:9090", name: "203.0.113.9"}).status == 200
    _, app = guarded(is_local_only=True)
    assert send(app, "GET", "/status", **bearer(READ), **{"Host": "127.0.0.1:9090", name: "203.0.113.9"}).status == 200


def test_a_preflight_allows_no_page_anything() -> None:
    _, app = guarded("", is_local_only=True)
    preflight = {"Host": "127.0.0.1:9090", "Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
    answer = ask(app, "/backends/a1", "OPTIONS", **preflight)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:9090", "Origin": "http://127.0.0.1:9090", "Sec-Fetch-Site": "same-origin"},  # a page of our own
        {"Host": "localhost:9090", "Sec-Fetch-Site": "none"},  # typed
        {"Host": "[::1]:9090"},  # curl
        {},
    ],
)
def test_tools_and_pages_of_our_own_may(headers: dict[str, str]) -> None:
    _, app = guarded("", is_local_only=True)
    assert send(app, "POST", "/blocklist", **headers).status == 200


def test_a_link_may_lead_here() -> None:
    _, app = guarded("", is_local_only=True)
    link = {"Host": "localhost", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask(app, "/status", **link).status == 200


@pytest.mark.parametrize("path", ["/health", "/status", "/nowhere", "/metrics"])
def test_browsers_are_told_to_embed_and_load_nothing(path: str) -> None:
    headers = ask(guarded()[1], path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-frame-options"] == "DENY"


def test_the_tokens_themselves_are_kept_nowhere() -> None:
    config = load_text(TEXT + AUTH, "f.yaml", {}).config
    assert CHANGE not in repr(config)
    assert CHANGE not in str(config.admin.auth.tokens[0].token)
