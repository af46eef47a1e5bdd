"""No secret of a configuration is in what the admin port, the log or an error shows: each place of one has one of its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from asgi_client import ask
from fake_instance import FakeInstance

from balance.admin.application import admin_app
from balance.admin.supervisor_orders import GenerationInfo
from balance.cli.main import cli, run
from balance.config import load_text
from balance.config.overrides.difference import difference
from balance.config.overrides.value_format import is_secret
from balance.config.schema.schema import RootSection
from balance.config.schema.section import Section
from balance.errors import ConfigError
from balance.health.states import State

EXAMPLES = Path(__file__).resolve().parents[2] / "deployments" / "examples"
PAIR = f"cert_file: {EXAMPLES}/certificates/example.crt, key_file: {EXAMPLES}/certificates/example.key"
TOKEN = "hush-{0}-of-an-admin-1"

# {0} is what makes each secret one of its own; every one begins with `hush-`.
TEXT = f"""\
listeners:
  - name: web
    listen: "127.0.0.1:0"
    pool: app
    http:
      routes:
        - name: keyed
          headers: {{X-Api-Key: "hush-{{0}}-route-header"}}
          query: {{token: "hush-{{0}}-route-query"}}
          cookies: {{session-secret: "hush-{{0}}-route-cookie"}}
          transform:
            request_headers: [{{action: set, name: Authorization, value: "Bearer hush-{{0}}-transform"}}]
            response_headers: [{{action: set, name: Set-Cookie, value: "a=hush-{{0}}-set-cookie"}}]
          policy:
            rules:
              - {{when: {{subject: "header:X-Token", equals: "hush-{{0}}-rule"}}, action: deny}}
        - name: with-jwt
          security: {{jwt: {{enabled: true, algorithms: HS256, secret: "hush-{{0}}-a-secret-of-jwt-is-as-long-as-that"}}}}
        - name: with-password
          security:
            basic_auth:
              enabled: true
              users: {{ada: "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$hush{{0}}V.jRuQhFCsr./Ojo/qd.mmzs.S.iUfBIuFfY14"}}
pools:
  app:
    health_check: {{type: http, headers: {{Authorization: "Bearer hush-{{0}}-check", X-Auth-Token: "hush-{{0}}-check-token"}}}}
    session_affinity: {{enabled: true, mode: cookie, secret: "hush-{{0}}-affinity-secret-of-some-length"}}
    backends:
      - {{name: a1, address: "127.0.0.1:9001", metadata: {{api-key: "hush-{{0}}-metadata", docs: "http://u:hush-{{0}}-url@h/"}}}}
      - {{name: a2, address: "127.0.0.1:9002"}}
  probed:
    health_check: {{type: exec, command: [/bin/check, --password, "hush-{{0}}-argument", "--token=hush-{{0}}-option"]}}
    backends: [{{name: p1, address: "127.0.0.1:9003"}}]
redis: {{url: "redis://user:hush-{{0}}-redis@127.0.0.1:6379/0"}}
admin:
  auth:
    tokens: [{{name: ops, token: "{TOKEN}"}}]
    read_only_tokens: [{{name: ci, token: "hush-{{0}}-of-a-reader-2"}}]
  tls: {{{PAIR}}}
"""


def text_with(mark: str) -> str:
    return TEXT.replace("{0}", mark)


HEADERS = {"Authorization": f"Bearer {TOKEN.replace('{0}', 'x')}"}


def instance(mark: str = "x") -> FakeInstance:
    fake_instance = FakeInstance()
    fake_instance.source = fake_instance.source.with_text(text_with(mark))
    fake_instance._kept = [(fake_instance.source, fake_instance.source.load(env={}).loaded.config, "start", "")]
    fake_instance.view.config = fake_instance._kept[0][1]
    return fake_instance


@pytest.fixture
def served() -> FakeInstance:
    from balance.runtime.snapshot import backend_slots

    fake_instance = instance()
    view = fake_instance.view
    view.slots = backend_slots(view.config)
    fake_instance.board.use_slots(len(view.slots) + 1)
    for slot in range(1, 4):
        fake_instance.board.set_state(slot, State.HEALTHY, 1.0)
    return fake_instance


def test_every_endpoint_and_the_log(served: FakeInstance, caplog: pytest.LogCaptureFixture) -> None:
    app = admin_app(served.view, is_local_only=True)
    shown = []
    paths = ask(app, "/openapi.json", **HEADERS).json["paths"]
    with caplog.at_level(logging.DEBUG):
        for path, methods in paths.items():
            for method in methods:
                where = path.replace("{name}", "a1").replace("{route}", "keyed")
                query = "?follow=false" if path == "/events" else ""
                verb = "HEAD" if path == "/dashboard/stream" else method.upper()  # it has no end; /dashboard/state has the same
                for body in (b"", b'{"metadata": {"api-key": "hush-x-order"}}', text_with("y").encode()):
                    answer = ask(app, where + query, verb, b"" if method == "get" else body, **HEADERS)
                    shown.append((path, answer.status, answer.text))
        events = "\n".join(f"{event.text} {event.fields}" for event in served.view.events.since(0))
    assert {status for path, status, _ in shown if path == "/config"} == {200}
    assert "***" in "".join(text for _, _, text in shown)
    assert {(path, found) for path, _, text in shown for found in re.findall(r"[^\n]{0,60}hush\S+", text)} == set()
    assert "hush" not in caplog.text + events


def test_differences_and_the_history_of_reloads() -> None:
    old, new = (load_text(text_with(mark), "f.yaml", {}).config for mark in "xy")
    lines = difference(old, new)
    assert len(lines) > 5
    assert [line for line in lines if "hush" in line] == []
    assert "hush" not in repr(GenerationInfo(1, 1.0, "start", new, True).summary)


def broken() -> Iterator[str]:
    """The configuration with each of its secrets in a wrong place."""
    lines = text_with("x").splitlines()
    for number, line in enumerate(lines):
        if "hush" not in line:
            continue
        for wrong in (line.replace(": ", ":"), line.replace('"hush', '["hush').replace('", ', '"], '), line + "}", line + '"'):
            yield "\n".join([*lines[:number], wrong, *lines[number + 1 :]]) + "\n"
    text = text_with("x")
    for before, after in (
        ("tokens: [", "tokens: hush-list # "),
        ("tokens: [{name: ops, token: ", "tokens: [{name: ops, tokn: "),
        ("tokens: [{name: ops, token: ", "tokens: [{name: ops, token: 5, tokens: "),
        ("secret: ", "secrets: "),
        ("secret: ", "secret: [1, 2], sekret: "),
        ("users: {ada: ", "users: {ada: not-a-hash-hush, eve: "),
        ("url: ", "url: 1, uri: "),
        ("redis: {", "redis: hush-redis # {"),
        ("auth:\n", "auth: hush-auth\n"),
        ("redis://", "http://"),
        (":6379/0", ":99999999/hush-path"),
    ):
        assert before in text
        yield text.replace(before, after)


@pytest.mark.long
@pytest.mark.parametrize("text", [pytest.param(text, id=str(number)) for number, text in enumerate(broken())])
def test_what_is_wrong_is_told_without_secrets(text: str) -> None:
    try:
        found = load_text(text, "f.yaml", {})
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
    else:
        problems = [str(warning) for warning in found.warnings]
    assert [problem for problem in problems if "hush" in problem] == []


def test_the_validator_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text_with("x"))
    for words in (["validate", "-verbose", str(file)], ["validate", "--format", "json", str(file)]):
        run(cli, words)
    said = capsys.readouterr()
    assert "hush" not in said.out + said.err
    assert said.out


# Keys that are called like secrets and are none, or hold names of secrets.
NAMES_ONLY = frozenset(
    ["key", "hash_key", "key_file", "key_password_env", "token_file", "client_key_file", "allow_credentials", "cookie"]
)


def named_like_secrets(annotation: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, Section):
            for name, about in each.model_fields.items():
                if is_secret(name) and name not in NAMES_ONLY:
                    yield (*path, name)
                yield from named_like_secrets(about.annotation, (*path, name))


def test_every_key_that_is_called_like_a_secret_has_one_above() -> None:
    names = {path[-1] for path in named_like_secrets(RootSection)}
    assert [name for name in sorted(names) if f"{name}:" not in TEXT] == []
