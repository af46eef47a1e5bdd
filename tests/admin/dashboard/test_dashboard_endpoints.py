"""The dashboard's endpoints: the page and its files, signing in and out, and what a cookie and a key are good for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from asgi_client import Answer, ask
from fake_instance import TEXT, FakeInstance
from starlette.applications import Starlette

from balance.admin.access.browser_sessions import SessionStore
from balance.admin.application import admin_app
from balance.admin.dashboard import assets, endpoints
from balance.config import load_text

CHANGE, READ = "a-token-to-change-things-0123", "a-token-to-read-alone-4567"
AUTH = f"""\
admin: {{auth: {{tokens: [{{name: ops, token: {CHANGE}}}], read_only_tokens: [{{name: ci, token: {READ}}}]}}}}
"""
HOST = "127.0.0.1:9090"
PAGE = {"Host": HOST, "Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin"}


def guarded(text: str = AUTH) -> tuple[FakeInstance, Starlette]:
    fake_instance = FakeInstance()
    fake_instance.source = fake_instance.source.with_text(TEXT + text)
    fake_instance.view.config = load_text(TEXT + text, "test.yaml", {}).config
    return fake_instance, admin_app(fake_instance.view, is_local_only=True)


def sign_in(app: Starlette, token: str = CHANGE, **fields: str) -> Answer:
    return ask(app, "/dashboard/session", "POST", json.dumps({"token": token}).encode(), **{**PAGE, **fields})


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


@pytest.fixture
def pages(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of the test's own, in place of the package's."""
    (tmp_path / "vendor").mkdir()
    (tmp_path / "index.html").write_text("<title>Balance</title>")
    (tmp_path / "vendor" / "chart.js").write_text("'use strict'")
    (tmp_path / "notes.md").write_text("not for browsers")
    monkeypatch.setattr(endpoints, "Assets", lambda: assets.Assets(tmp_path))


def test_the_page_is_open_and_may_load_its_own_files_alone(pages: None) -> None:
    _, app = guarded()
    page = ask(app, "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy and "http" not in policy
    assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= set(policy.split("; "))
    assert page.headers["x-content-type-options"] == "nosniff"
    assert ask(app, "/version").headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_files_have_types_and_are_sent_once(pages: None) -> None:
    _, app = guarded()
    script = ask(app, "/dashboard/assets/vendor/chart.js")
    assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert script.headers["cache-control"] == "no-cache"
    etag = script.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        assert ask(app, "/dashboard/assets/vendor/chart.js", **{"If-None-Match": known}).status == 304
    assert ask(app, "/dashboard/assets/vendor/chart.js", **{"If-None-Match": '"other"'}).status == 200


@pytest.mark.parametrize(
    "path",
    ["none.js", "", "../endpoints.py", "vendor", "vendor/", "/etc/passwd", "vendor/../index.html", "notes.md", "%2e%2e/x"],
)
def test_no_path_leads_elsewhere(pages: None, path: str) -> None:
    _, app = guarded()
    assert ask(app, f"/dashboard/assets/{path}").status == 404


def test_a_page_that_is_turned_off_is_not_there(pages: None) -> None:
    assert ask(guarded("")[1], "/").status == 200
    _, app = guarded("admin: {dashboard: false}")
    for method, path in (("GET", "/"), ("GET", "/dashboard/assets/index.html"), ("POST", "/dashboard/session")):
        answer = ask(app, path, method, **PAGE)
        assert (answer.status, "admin.dashboard: false" in answer.json["error"]) == (404, True)
    assert ask(app, "/dashboard/state").status == 200  # `balance top` reads it


@pytest.mark.parametrize(("token", "name", "may_change"), [(CHANGE, "ops", True), (READ, "ci", False)])
def test_a_token_signs_in(token: str, name: str, may_change: bool) -> None:
    fake_instance, app = guarded()
    answer = sign_in(app, token)
    assert answer.status == 200
    document = answer.json
    assert (document["name"], document["may_change"], document["signed_in"]) == (name, may_change, True)
    assert answer.headers["set-cookie"].split("; ")[1:] == ["Path=/dashboard", "Max-Age=43199", "HttpOnly", "SameSite=Strict"]
    shown = answer.text + answer.headers["set-cookie"] + repr([each.text for each in fake_instance.view.events.since(0)])
    assert token not in shown
    assert document["key"] not in cookie_of(answer)
    who = ask(app, "/dashboard/session", Cookie=cookie_of(answer), Host=HOST).json
    assert (who["name"], who["may_change"], who["signed_in"]) == (name, may_change, True)


def test_a_cookie_looks_at_the_dashboards_own_paths_and_changes_nothing() -> None:
    fake_instance, app = guarded()
    cookie = {"Cookie": cookie_of(sign_in(app)), **PAGE}
    for path in ("/dashboard/state", "/dashboard/history"):
        assert ask(app, path, **cookie).status == 200
    assert ask(app, "/dashboard/stream", "HEAD", **cookie).status == 200
    assert ask(app, "/dashboard/state", **cookie).json["viewer"]["name"] == "ops"
    for method, path in (("GET", "/backends"), ("PATCH", "/backends/a1"), ("POST", "/reload"), ("POST", "/drain")):
        assert ask(app, path, method, b"{}", **cookie).status == 401
    assert fake_instance.asked == []


def test_the_key_of_a_session_is_as_good_as_its_token() -> None:
    _, app = guarded()
    key = {"Authorization": f"Bearer {sign_in(app).json['key']}"}
    assert ask(app, "/backends", **key).status == 200
    assert ask(app, "/backends/a1", "PATCH", b'{"state": "drain"}', **key).json["state"] == "draining"
    read_only = {"Authorization": f"Bearer {sign_in(app, READ).json['key']}"}
    assert ask(app, "/backends", **read_only).status == 200
    assert ask(app, "/backends/a1", "PATCH", b'{"state": "enable"}', **read_only).status == 403


def test_signing_out_ends_cookie_and_key() -> None:
    _, app = guarded()
    answer = sign_in(app)
    cookie, key = {"Cookie": cookie_of(answer), **PAGE}, {"Authorization": f"Bearer {answer.json['key']}"}
    gone = ask(app, "/dashboard/session", "DELETE", **cookie)
    assert (gone.status, "Max-Age=0" in gone.headers["set-cookie"]) == (200, True)
    assert ask(app, "/dashboard/state", **cookie).status == ask(app, "/backends", **key).status == 401
    assert ask(app, "/dashboard/session", "DELETE", **cookie).status == 401


def test_a_session_dies_with_its_token() -> None:
    fake_instance, app = guarded()
    cookie = {"Cookie": cookie_of(sign_in(app)), **PAGE}
    view = fake_instance.view
    auth = replace(view.config.admin.auth, tokens=())
    view.config = replace(view.config, admin=replace(view.config.admin, auth=auth))
    assert ask(app, "/dashboard/state", **cookie).status == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:8080"},  # the same machine, another port: the same site
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_others_neither_sign_in_nor_out_nor_look(fields: dict[str, str]) -> None:
    _, app = guarded()
    answer = sign_in(app)
    assert sign_in(app, **fields).status == 403
    headers = {**PAGE, "Cookie": cookie_of(answer), **fields}
    assert ask(app, "/dashboard/session", "DELETE", **headers).status == 403
    if "Sec-Fetch-Site" in fields:  # older browsers send an Origin with reads of others alone, and show them no answer
        assert ask(app, "/dashboard/state", **headers).status == 403
    assert ask(app, "/dashboard/state", **{**headers, **PAGE}).status == 200


def test_a_script_without_an_origin_signs_in_and_acts() -> None:
    _, app = guarded()
    answer = ask(app, "/dashboard/session", "POST", json.dumps({"token": CHANGE}).encode(), Host="balance.internal:9090")
    assert answer.status == 200
    key = {"Authorization": f"Bearer {answer.json['key']}", "Host": "balance.internal:9090"}
    assert ask(app, "/backends/a1", "PATCH", b'{"state": "drain"}', **key).status == 200


def test_guesses_are_slowed() -> None:
    _, app = guarded()
    found = [sign_in(app, f"a-wrong-token-{number}").status for number in range(12)]
    assert found[:10] == [401] * 10 and found[11] == 429
    assert sign_in(app).status == 429  # for a second at most


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "balance-9090=",
        "balance-9090=x",
        "balance-9090=" + "A" * 43,
        "balance-9091=x; =; ;;",
        "balance-9090=\u00ff",
        "x" * 3000,
    ],
)
def test_forged_cookies_open_nothing(cookie: str) -> None:
    _, app = guarded()
    sign_in(app)
    assert ask(app, "/dashboard/state", Cookie=cookie, **PAGE).status == 401


def test_a_cookie_that_another_port_has_planted_does_not_hide_the_good_one() -> None:
    _, app = guarded()
    good = cookie_of(sign_in(app))
    assert ask(app, "/dashboard/state", Cookie=f"balance-9090=planted; {good}", **PAGE).status == 200


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"token": 3}', b'{"token": "x", "more": 1}', b"token=x", b"x" * 5000])
def test_bodies_that_are_no_token(body: bytes) -> None:
    _, app = guarded()
    assert ask(app, "/dashboard/session", "POST", body, **PAGE).status in (400, 413)


@pytest.mark.parametrize("query", ["token=x", "key=x", "access_token=x"])
def test_no_secret_is_taken_from_an_address(query: str) -> None:
    _, app = guarded()
    assert ask(app, f"/dashboard/stream?{query}", **PAGE).status == 400


def test_without_tokens_this_machine_looks_and_acts_and_no_name_leads_here() -> None:
    _, app = guarded("")
    who = ask(app, "/dashboard/session", Host=HOST).json
    assert (who["needs_token"], who["may_change"]) == (False, True)
    assert who["instance"] == ask(app, "/dashboard/state", Host=HOST).json["instance"]["id"]
    assert ask(app, "/dashboard/state", Host=HOST).status == 200
    rebound = {"Host": "evil.example:9090", "Origin": "http://evil.example:9090", "Sec-Fetch-Site": "same-origin"}
    for path in ("/dashboard/state", "/dashboard/session", "/dashboard/history"):
        assert ask(app, path, **rebound).status == 403
    assert ask(app, "/dashboard/session", "POST", b'{"token": "x"}', **rebound).status == 403


def test_cookies_are_secure_where_the_browser_speaks_tls() -> None:
    _, app = guarded()
    behind_tls = sign_in(app, Origin=f"https://{HOST}")
    assert behind_tls.headers["set-cookie"].startswith("__Secure-balance-9090=")
    assert behind_tls.headers["set-cookie"].endswith("; Secure")
    assert ask(app, "/dashboard/state", Cookie=cookie_of(behind_tls), **PAGE).status == 200


def test_the_state_has_no_null(monkeypatch: pytest.MonkeyPatch) -> None:
    _, app = guarded("")

    def check(value: Any) -> None:
        assert value is not None and not isinstance(value, list)
        if isinstance(value, dict):
            for each in value.values():
                check(each)

    document = ask(app, "/dashboard/state").json
    check(document)
    assert document["backends"]["app/a2"]["weight"] == 2
    assert document["backends"]["raw/r1"]["pool"] == "raw"


def test_sessions_are_bounded() -> None:
    store = SessionStore()
    config = load_text(TEXT + AUTH, "test.yaml", {}).config
    hashed = config.admin.auth.tokens[0].token
    made = [store.create(hashed, "ops", True, float(number)) for number in range(300)]
    assert len(store) == 256
    assert store.of_cookie(made[0][1], config.admin.auth, 300.0) is None
    assert store.of_key(made[0][2], config.admin.auth, 300.0) is None
    assert store.of_cookie(made[-1][1], config.admin.auth, 300.0) is made[-1][0]
