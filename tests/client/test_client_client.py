"""The client against a real admin port: every endpoint, every order, what refusals are."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from admin_server import serving
from asgi_client import ask
from fake_instance import TEXT, FakeInstance
from typed_documents import mismatches

from balance.admin.application import admin_app
from balance.admin.supervisor_orders import Restart, Stop, Upgrade
from balance.client import AccessError, Client, ConflictError, ForbiddenError, NotFoundError, RefusedError
from balance.client.state import History, State
from balance.client.transport import OPERATIONS
from balance.config import load_text
from balance.interpreter import Interpreter

# What pages are made of, for browsers, which have the session that a program has not.
FOR_BROWSERS = {
    "GET /",
    "GET /dashboard/assets/{file}",
    "GET /dashboard/session",
    "POST /dashboard/session",
    "DELETE /dashboard/session",
}
# Other words of older scripts for what has a method.
FOR_SCRIPTS = {"DELETE /backends", "GET /prometheus"}
# Keys of orders that are Python's words, or have another name in Python's manner.
RENAMED = {"for": "how_long", "add": "addresses", "remove": "addresses", "since": "since", "follow": "", "id": ""}


@pytest.fixture
def fake() -> FakeInstance:
    return FakeInstance()


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[Client]:
    with serving(fake.view) as port:
        yield Client(f"127.0.0.1:{port}")


def described(fake: FakeInstance) -> dict[str, dict[str, Any]]:
    paths = ask(admin_app(fake.view, is_local_only=True), "/openapi.json").json["paths"]
    return {f"{method.upper()} {path}": each for path, item in paths.items() for method, each in item.items()}


def test_every_endpoint_has_a_method(fake: FakeInstance) -> None:
    assert set(described(fake)) - FOR_BROWSERS - FOR_SCRIPTS - set(OPERATIONS) == set()


def test_every_method_has_an_endpoint_and_its_parameters(fake: FakeInstance) -> None:
    endpoints = described(fake)
    for endpoint, name in OPERATIONS.items():
        assert endpoint in endpoints
        taken = set(inspect.signature(getattr(Client, name)).parameters)
        operation = endpoints[endpoint]
        schema = next(iter(operation.get("requestBody", {"content": {"": {}}})["content"].values())).get("schema", {})
        keys = [each["name"] for each in operation.get("parameters", ()) if each["in"] != "header"]
        keys += schema.get("properties", {})
        if any(each["name"] == "If-Match" for each in operation.get("parameters", ())):
            assert "if_version" in taken, endpoint
        missing = {key for key in keys if RENAMED.get(key, key) and RENAMED.get(key, key) not in taken}
        assert not missing or "values" in taken, (endpoint, missing)


def test_what_it_reads_has_types(client: Client, fake: FakeInstance) -> None:
    assert client.health().is_ok and client.ready().status == "ready"
    assert client.version().name == "balance"
    here = Interpreter.here()
    assert (client.version().compiled, client.version().python) == (here.is_compiled, here.version)
    assert asdict(client.version().interpreter) == here.document()
    status = client.status()
    assert (status.stage, status.generation, status.requests.total) == ("serving", 1, 0)
    assert [(each.name, len(each.backends)) for each in status.pools] == [("app", 2), ("raw", 1)]
    assert "pool" not in status.document["pools"][0]["backends"][0]  # as it came
    assert [each.full_name for each in client.backends()] == ["app/a1", "app/a2", "raw/r1"]
    assert client.backend("a2").weight == 2
    assert [each.backends[0].full_name for each in client.pools()] == ["app/a1", "raw/r1"]
    assert client.routes() == ()
    assert client.sessions().pools == ()
    assert client.blocklist().blocked == ()
    assert client.config().generations[0].origin == "start"
    assert client.config(1).generation == 1
    assert client.openapi()["openapi"] == "3.1.0"
    assert "# TYPE" in client.metrics()
    assert client.past_events() == ()
    assert repr(client) == f"Client({client.access.address})"


def test_routes_have_rules_and_times(client: Client, fake: FakeInstance) -> None:
    text = TEXT.replace("mode: http", "").replace(
        "pool: app}]",
        "mode: http, pool: app, http: {routes: [{name: shop, path_prefix: /shop, pool: app, policy: {rules: "
        "[{name: no, when: {subject: path, prefix: /shop/x}, action: deny}]}}]}}]",
    )
    fake.view.config = load_text(text, "f.yaml", {}).config
    (route,) = client.routes()
    assert (route.name, route.pools, route.last_hit) == ("shop", ("app",), None)
    assert [(rule.name, rule.action) for rule in route.rules] == [("no", "deny 403")]


def test_every_order_goes_through(client: Client, fake: FakeInstance) -> None:
    assert client.drain("a1").state == "draining"
    assert client.backend("a1").drained is False
    assert client.maintenance("app/a1").full_name == "app/a1"
    assert client.enable("a1").state == "unchecked"
    assert client.weight("a1", 5, dry_run=True).summary == "~1 backend"
    assert client.backend("a1").weight == 1
    assert client.weight("a1", 5).generation == 2
    assert client.add_backend("a3", "127.0.0.1:9009", pool="app", weight=0, backup=True).summary == "+1 backend"
    assert client.backend("a3").backup is True
    assert client.change_backend("a3", max_connections=5, state="drain").state == "draining"
    assert client.remove_backend("a3").changes
    assert client.reload(discard_changes=True).generation == 6
    assert client.reload(rollback=True, dry_run=True).document["done"] is True
    assert client.diff(TEXT.replace("weight: 2", "weight: 3")).changes
    assert client.block("192.0.2.1", "10m").summary == "block 192.0.2.1 for 600s"
    assert [each.address for each in client.blocklist().blocked] == ["192.0.2.1"]
    assert client.unblock(["192.0.2.1"]).summary == "unblock 192.0.2.1"
    client.restart()
    client.upgrade()
    client.stop()
    assert fake.asked[-3:] == [Restart(), Upgrade(), Stop()]
    assert client.status().stage == "draining"


def test_the_second_of_two_who_change_the_same_is_refused(client: Client) -> None:
    mine, theirs = client.backend("a2"), client.backend("a2")
    assert mine.version == theirs.version != ""
    client.weight("a2", mine.weight + 1, if_version=mine.version)
    with pytest.raises(ConflictError, match=r"somebody was faster: .* nothing was done"):
        client.weight("a2", theirs.weight + 1, if_version=theirs.version)
    assert client.backend("a2").weight == 3
    with pytest.raises(ConflictError, match="somebody was faster"):
        client.drain("a2", if_version=theirs.version)
    with pytest.raises(ConflictError, match="somebody was faster"):
        client.reload(if_version="1")
    assert client.reload(if_version="2").generation == 2
    for version in ('a"b', "a\r\nX: y", "é"):
        with pytest.raises(AccessError):
            client.drain("a2", if_version=version)


def test_what_an_order_would_do_is_said_before(client: Client) -> None:
    would = client.drain("a1", dry_run=True)
    assert would.preview and client.backend("a1").drained is None


def test_the_state_of_the_dashboard_comes_whole_and_as_it_changes(client: Client) -> None:
    whole = client.state()
    assert set(whole["backends"]) == {"app/a1", "app/a2", "raw/r1"} and whole["viewer"]["may_change"] is True
    assert not mismatches(State, whole)
    assert not mismatches(History, client.history())
    with client.watch() as states:
        first = next(states)
        assert set(first["backends"]) == set(whole["backends"])


def test_a_warning_is_part_of_what_was_done(client: Client) -> None:
    assert client.drain("raw/r1").warnings[0].startswith("backend raw/r1 was the last of its pool")


def test_refusals_are_exceptions_with_the_words_of_the_instance(client: Client) -> None:
    with pytest.raises(NotFoundError, match=r"there is no backend 'nobody'; there are a1, a2, r1"):
        client.drain("nobody")
    with pytest.raises(ConflictError) as conflict:
        client.diff("listen: 5\nnonsense: 1\n")
    assert len(conflict.value.problems) > 1 and conflict.value.problems[0].startswith("test.yaml:1:")
    with pytest.raises(RefusedError, match="the body is empty"):
        client.diff("")
    with pytest.raises(NotFoundError, match="generation '9' is not remembered"):
        client.config(9)
    with pytest.raises(NotFoundError, match="sessions are looked up by id where they are in Redis"):
        client.session("x")
    with pytest.raises(NotFoundError, match="there is no route 'shop'"):
        client.switch("shop", "green", listener="web", force=True)
    with pytest.raises(RefusedError, match="cannot be ordered"):
        client.change_backend("a1", state="ready")  # type: ignore[arg-type]


def test_a_token_that_may_read_sends_orders_in_vain(fake: FakeInstance) -> None:
    change, read = "{name: ops, token: a-token-to-change-things-0123}", "{name: ci, token: a-token-to-read-alone-4567}"
    auth = f"{{tokens: [{change}], read_only_tokens: [{read}]}}"
    text = f"{TEXT}admin: {{auth: {auth}}}\n"
    fake.view.config = load_text(text, "f.yaml", {}).config
    with serving(fake.view) as port:
        client = Client(f":{port}", token="a-token-to-read-alone-4567")
        assert client.status().ready
        with pytest.raises(ForbiddenError, match="token ci may read alone"):
            client.restart()
        client.use(replace(client.access, read_only_reason="the other file can't be read"))
        assert client.status().ready


def test_events_come_as_they_happen(client: Client, fake: FakeInstance) -> None:
    client.drain("a1")
    with client.events(0) as events:
        first = next(events)
    assert (first.kind, first.number) == (client.past_events()[0].kind, client.past_events()[0].number)


@pytest.mark.parametrize("name", ["a b", "a?b#c", "a%2Fb", "../status", "é", "a\r\nX: y"])
def test_a_name_is_part_of_a_path_whatever_it_has(name: str, client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.drain(name)


def test_it_needs_the_standard_library_alone() -> None:
    code = (
        "import sys, balance.client\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [
        name for name in done.stdout.split() if not re.match(r"_|balance(__mypyc)?$|sitecustomize|usercustomize", name)
    ] == []


def test_it_says_that_it_has_types() -> None:
    from pathlib import Path

    import balance

    assert (Path(balance.__file__).parent / "py.typed").is_file()
