"""Backends that come and go in the words of older scripts: by `url`, without a name, DELETE without a path."""

import json
from typing import Any

import pytest
from asgi_client import Answer, ask
from fake_instance import FakeInstance
from starlette.exceptions import HTTPException

from balance.admin.application import admin_app
from balance.admin.backend_orders import read_new_backend
from balance.config.overrides.runtime_overrides import BackendChange, Verb


def say(fake_instance: FakeInstance, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return ask(admin_app(fake_instance.view, is_local_only=True), path, method, data, **headers)


def names(fake_instance: FakeInstance) -> list[str]:
    return [each.backend.name for each in fake_instance.view.backends()]


@pytest.mark.parametrize(
    ("said", "name", "values"),
    [
        ({"name": "c", "pool": "app", "address": "h:1", "weight": 2}, "c", {"address": "h:1", "weight": 2}),
        ({"pool": "app", "url": "http://h:1", "weight": 2, "region": "eu"}, "h:1",
         {"weight": 2, "region": "eu", "address": "http://h:1"}),
        ({"pool": "app", "url": "http://h:1/"}, "h:1", {"address": "http://h:1/"}),
        ({"pool": "app", "name": "c", "url": "HTTP://h:1"}, "c", {"address": "HTTP://h:1"}),
        ({"pool": "app", "address": "[::1]:9"}, "[::1]:9", {"address": "[::1]:9"}),
    ],
)  # fmt: skip
def test_a_new_backend_is_what_a_file_says_and_its_pool(said: dict[str, Any], name: str, values: dict[str, Any]) -> None:
    assert read_new_backend(json.dumps(said).encode()) == BackendChange(Verb.ADD, "app", name, json.dumps(values))


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"name": 5}', b'{"name": "", "address": "h:1"}', b'{"name": "c", "pool": 1}', b'{"url": 7}', b'{"name": null}'],
)
def test_a_new_backend_needs_a_name_or_an_address_to_be_called_by(body: bytes) -> None:
    with pytest.raises(HTTPException, match="has no name"):
        read_new_backend(body)


def test_an_address_and_a_url_are_one_and_the_same() -> None:
    with pytest.raises(HTTPException, match="url and address"):
        read_new_backend(b'{"url": "http://h:1", "address": "h:1"}')


@pytest.mark.parametrize("content_type", ["", "application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_a_script_adds_by_url_whatever_type_curl_says(content_type: str) -> None:
    fake_instance = FakeInstance()
    new = {"pool": "app", "url": "http://127.0.0.1:9009", "weight": 3}
    answer = say(fake_instance, "POST", "/backends", new, **({"Content-Type": content_type} if content_type else {}))
    assert (answer.status, answer.json["name"]) == (200, "127.0.0.1:9009")
    assert answer.json["changes"] == ["+ backend app/127.0.0.1:9009 (127.0.0.1:9009, weight 3)"]
    again = say(fake_instance, "POST", "/backends", new)
    assert (again.status, names(fake_instance).count("127.0.0.1:9009")) == (409, 1)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?url=http://127.0.0.1:9002", None),
        ("?url=http://127.0.0.1:9002/", None),
        ("?url=127.0.0.1:9002&pool=app", None),
        ("?address=127.0.0.1:9002", None),
        ("?name=a2", None),
        ("?name=app/a2", None),
        ("?name=a2&pool=app", None),
        ("", {"url": "http://127.0.0.1:9002"}),
        ("", {"url": "http://127.0.0.1:9002", "pool": "app"}),
        ("", {"address": "127.0.0.1:9002"}),
        ("", {"name": "a2"}),
    ],
)
def test_a_script_deletes_by_what_it_knows(query: str, body: dict[str, str] | None) -> None:
    fake_instance = FakeInstance()
    answer = say(fake_instance, "DELETE", f"/backends{query}", body)
    assert (answer.status, answer.json["changes"]) == (200, ["- backend app/a2 (127.0.0.1:9002)"])
    assert names(fake_instance) == ["a1", "r1"]


@pytest.mark.parametrize(
    ("query", "body", "status", "word"),
    [
        ("", None, 400, "does not name one"),
        ("?name=a2&url=http://127.0.0.1:9002", None, 400, "does not name one"),
        ("?url=http://127.0.0.1:9002&address=127.0.0.1:9002", None, 400, "url and address"),
        ("?weight=2&name=a2", None, 400, "does not name one"),
        ("", {"url": 5}, 400, "does not name one"),
        ("", [], 400, "no order"),
        ("", b"\xff", 400, "not JSON"),
        ("?name=none", None, 404, "there is no backend 'none'"),
        ("?url=http://127.0.0.1:9999", None, 404, "at '127.0.0.1:9999'|at 'http://127.0.0.1:9999'"),
        ("?url=127.0.0.1:9002&pool=raw", None, 404, "at '127.0.0.1:9002'"),
        ("?dry_run=perhaps&name=a2", None, 400, "dry_run is true or false"),
    ],
)
def test_what_names_nobody_deletes_nobody(query: str, body: Any, status: int, word: str) -> None:
    fake_instance = FakeInstance()
    answer = say(fake_instance, "DELETE", f"/backends{query}", body)
    assert answer.status == status
    assert any(each in answer.json["error"] for each in word.split("|"))
    assert names(fake_instance) == ["a1", "a2", "r1"]


def test_one_address_of_two_backends_is_nobody_s() -> None:
    fake_instance = FakeInstance()
    assert say(fake_instance, "POST", "/backends", {"pool": "raw", "name": "r2", "address": "127.0.0.1:9002"}).status == 200
    answer = say(fake_instance, "DELETE", "/backends?url=http://127.0.0.1:9002")
    assert (answer.status, answer.json["error"]) == (
        409, "several backends are at 'http://127.0.0.1:9002': delete app/a2 or raw/r2 by its name"
    )  # fmt: skip
    assert say(fake_instance, "DELETE", "/backends?url=http://127.0.0.1:9002&pool=raw").status == 200


def test_a_dry_run_deletes_nobody_and_says_what_would_be() -> None:
    fake_instance = FakeInstance()
    answer = say(fake_instance, "DELETE", "/backends?url=http://127.0.0.1:9002&dry_run=true")
    assert (answer.status, bool(answer.json["preview"])) == (200, True)
    assert names(fake_instance) == ["a1", "a2", "r1"]


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"Content-Encoding": "gzip"}, "in coding 'gzip'"),
        ({"Content-Encoding": "identity, br"}, "in coding"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "form of several parts"),
    ],
)
def test_a_body_that_is_packed_is_refused_as_that(headers: dict[str, str], word: str) -> None:
    answer = say(FakeInstance(), "POST", "/backends", {"pool": "app", "url": "http://h:1"}, **headers)
    assert answer.status == 415
    assert word in answer.json["error"]
