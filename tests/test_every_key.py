"""Every key of a configuration does something, wherever it may be written.

The schema is walked: a key without a row in every_key.py fails here, and the message says what to write. A row's test is one
that fails when the key is ignored; with `-m long` each of them is run while its key is ignored, and has to.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from every_key import CERTIFICATE, CLIENT_CERTIFICATE, CLIENTS, KEYS, OTHER_ADMIN_TOKEN, PENDING, REQUIRED, SCRYPT

from balance.config import load_text
from balance.config.model import Config
from balance.config.reading.aliases import ALIASES
from balance.config.schema.schema import RootSection
from balance.config.schema.section import Section

ROOT = Path(__file__).resolve().parent.parent

BACKENDS = [{"address": "127.0.0.1:9001"}, {"address": "127.0.0.1:9002"}]
# What every key is written into: the full form, with one of each.
BASE: dict[str, Any] = {
    "health_check": {"type": "tcp"},  # otherwise it follows from the other keys
    "listeners": [{"listen": ":8080", "pool": "p"}],
    "pools": {"p": {"backends": BACKENDS}, "q": {"backends": [{"address": "h:1"}]}, "s": {"backends": [{"address": "h:2"}]}},
}
SIMPLE: dict[str, Any] = {"listen": ":8080", "backends": BACKENDS}

_TO_ENABLE = {
    "basic_auth": {"enabled": False, "users": {"u": SCRYPT}},
    "jwt": {"enabled": False, "algorithms": "HS256", "secret": "s" * 32},
    "forward_auth": {"enabled": False, "pool": "q"},
}
_CHANGE = [{"action": "set", "name": "X-A", "value": "a"}]
_IF = {"when": {"subject": "path", "equals": "/"}}
# What stands around a key of a list, or around one that has no meaning alone: the keys that lead to it from `http` or from a
# route, where that is written, and what. The last that fits counts.
AROUND: list[tuple[tuple[str, ...], tuple[str, ...], Any]] = [
    (("transform", "request_headers"), ("transform", "request_headers"), _CHANGE),
    (("transform", "response_headers"), ("transform", "response_headers"), _CHANGE),
    (("transform", "rewrite"), ("transform", "rewrite"), [{"regex": "a", "replacement": "b"}]),
    *((("security", key, "enabled"), ("security", key), value) for key, value in _TO_ENABLE.items()),
    (("backends",), ("backends",), BACKENDS),
    (("split",), ("split",), [{"pool": "q"}, {"pool": "p"}]),
    (("redirect",), ("redirect",), {"path": "/x"}),
    (("redirect", "to"), ("redirect",), {"to": "/x"}),
    (("respond",), ("respond",), {"body": "x"}),
    (("policy", "canary"), ("policy", "canary"), {"pool": "q"}),
    (("policy", "blue_green"), ("policy", "blue_green"), {"blue": "p", "green": "q"}),
    (("policy", "mirror"), ("policy", "mirror"), {"pool": "q"}),
    (("policy", "fault"), ("policy", "fault"), {"until": "10m"}),
    (("policy", "regions"), ("policy", "regions"), {"header": "X-R"}),
    (("policy", "rules"), ("policy", "rules"), [_IF | {"action": "deny"}]),
    (("policy", "rules", "pool"), ("policy", "rules"), [_IF | {"action": "route", "pool": "q"}]),
    (("policy", "rules", "redirect"), ("policy", "rules"), [_IF | {"action": "redirect", "redirect": {"path": "/x"}}]),
    (("policy", "rules", "redirect", "to"), ("policy", "rules"), [_IF | {"action": "redirect", "redirect": {"to": "/x"}}]),
]
# Fields of routes that follow from the others: every pool that a route leads to.
DERIVED = {"RateLimit.counted_for", "PoolUse.pool", "RouteConfig.uses", "RouteConfig.timeouts", "RouteConfig.retry"}
# A route lays these over its pool's or listener's.
SAME = {
    "RouteConfig.algorithm": "PoolConfig.algorithm",
    "RouteConfig.hash_key": "PoolConfig.hash_key",
    "RouteConfig.body_bytes": "Limits.body_bytes",
    "RouteConfig.error_pages": "HttpConfig.error_pages",
}
OF_HTTP = ("transform", "compression", "buffering", "error_pages", "limits")  # a route's are those of its listener's http

Step = str | int


def walk(annotation: Any, path: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """The path of every value that may be written; 0 is an item of a list, `p` one of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        for name, about in annotation.model_fields.items():
            yield from walk(about.annotation, (*path, name))
        return
    args = get_args(annotation)
    if args and isinstance(args[-1], type) and issubclass(args[-1], Section):
        yield from walk(args[-1], (*path, "p" if len(args) == 2 else 0))
    else:
        yield path


def key_of(path: tuple[Step, ...]) -> str:
    """The key as its row has it: as it is written at the top, where it may be, for one that a listener or pool has too."""
    own = path[2:] if path[0] in ("listeners", "pools") else path
    if path[0] == "pools" and own[0] == "tls":
        own = ("tls", "backend", *own[1:])
    if own in AT_TOP:
        path = own
    if path[:2] == ("http", "routes"):
        inner = path[3:]
        path = inner if inner in AT_TOP else ("http", *inner) if inner[0] in OF_HTTP else path
    return ".".join(f"{step}" for step in path).replace(".0", "[]").replace("pools.p", "pools.NAME")


PLACES = list(walk(RootSection, ()))
AT_TOP = {path for path in PLACES if path[0] not in ("listeners", "pools")}
FOUND = {key_of(path) for path in PLACES}


def admin_around(path: tuple[Step, ...]) -> dict[str, Any]:
    """What stands around a key of `admin.auth` or `admin.tls`."""
    if path[1] == "auth":
        token = {"token_file": OTHER_ADMIN_TOKEN} if path[-1] == "token_file" else {"token": "another-token-0123456789"}
        return {path[2]: [{"name": "a", **token}]}
    return CERTIFICATE | (CLIENTS | {"client_auth": "verify"} if "client" in str(path[-1]) else {})


DISCOVERIES = {  # what stands around the keys of a kind
    "dns": {"dns": {"name": "app.example", "port": 80}},
    "consul": {"consul": {"service": "app", "address": "https://127.0.0.1:8501"}},
    "kubernetes": {"kubernetes": {"service": "app"}},
}


def base_of(path: tuple[Step, ...]) -> dict[str, Any]:
    """The configuration that a key is written into: in a route where it is one of a route, with what is around it."""
    data: dict[str, Any] = copy.deepcopy(SIMPLE if path[0] in SIMPLE else BASE)
    if "discovery" in path:  # in the simple form a pool has it from the top, in the full form it has its own
        data = copy.deepcopy(BASE if path[0] == "pools" else SIMPLE)
        (data["pools"]["p"] if path[0] == "pools" else data)["discovery"] = copy.deepcopy(
            next((around for kind, around in DISCOVERIES.items() if kind in path), {"file": {"path": "backends.yaml"}})
        )
        return data
    if path[-2:] == ("autoscaler", "enabled"):  # its driver needs a command
        at = data["pools"]["p"] if path[0] == "pools" else data
        at["autoscaler"] = {"command": ["server", "{port}"]}
    if path[0] == "admin" and len(path) > 2:
        data["admin"] = {path[1]: admin_around(path)}
        return data
    if path[:2] == ("tls", "backend") or (path[0] == "pools" and "tls" in path):
        scope = data["pools"]["p"] if path[0] == "pools" else data.setdefault("tls", {})
        scope["tls" if path[0] == "pools" else "backend"] = {"enabled": True, **CLIENT_CERTIFICATE}
    elif "tls" in path[:3]:
        scope = data["listeners"][0] if path[0] == "listeners" else data
        if "sni" in path:
            data["mode"] = "tcp"
        written: dict[str, Any] = {"certificates": [dict(CERTIFICATE)]} if "certificates" in path else dict(CERTIFICATE)
        if str(path[-1]).startswith("client_"):  # one alone does nothing
            written |= CLIENTS
        if path[-1] == "redirect_http":
            written = {"enabled": False}
        scope["tls"] = {} if "sni" in path else written
    if "proxy_protocol" in path[:3] and path[-1] != "send":
        data["proxy_protocol"] = {"trusted": ["10.0.0.0/8"]}  # who accepts headers must say from whom
    if path == ("logging", "access_log", "template"):
        data["logging"] = {"access_log": {"format": "template", "template": "{path}"}}
    if path == ("group",):
        data["user"] = "daemon"  # it has no meaning alone
    if "http" not in path[:3]:
        if path[-1] == "enabled" and path[-2] in _TO_ENABLE:
            here = data["listeners"][0] if path[0] == "listeners" else data
            here["security"] = {path[-2]: copy.deepcopy(_TO_ENABLE[path[-2]])}
        return data
    start = path.index("http") + 1
    here: Any = data
    for step in path[:start]:
        here = here[step] if isinstance(here, list) else here.setdefault(step, {})
    if path[start] == "routes":
        here["routes"] = [{"name": "r"}]
        here = here["routes"][0]
        start += 2
    named = tuple(step for step in path[start:] if isinstance(step, str))
    for leading, (*sections, last), value in reversed(AROUND):
        if named[: len(leading)] == leading:
            for step in sections:
                here = here.setdefault(step, {})
            here[last] = copy.deepcopy(value)
            break
    return data


def config_of(data: dict[str, Any]) -> Config:
    return load_text(yaml.safe_dump(data), "f.yaml", {"BALANCE_HOME": ""}).config


def config_with(path: tuple[Step, ...], value: Any) -> Config:
    """The configuration where that value is written there."""
    data: Any = base_of(path)
    here = data
    for step in path[:-1]:
        here = here[step] if isinstance(here, list) else here.setdefault(step, {})
    if len(path) > 1 and path[-2] in ("basic_auth", "jwt", "forward_auth"):
        here.setdefault("enabled", False)  # else it is refused: a door that is open by mistake
    here[path[-1]] = value
    if path[-2:] == ("dns", "type") and value == "srv":
        del here["port"]  # SRV records have their own
    return config_of(data)


def changed(old: Any, new: Any) -> set[str]:
    """The fields of the model that differ, as `Class.field`."""
    if type(old) is type(new) and dataclasses.is_dataclass(old) and type(old).__str__ is object.__str__:
        pairs = ((about.name, getattr(old, about.name), getattr(new, about.name)) for about in dataclasses.fields(old))
        return {field for name, a, b in pairs if a != b for field in (changed(a, b) or {f"{type(old).__name__}.{name}"})}
    if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        return {field for a, b in zip(old, new, strict=True) if a != b for field in changed(a, b)}
    return set()


@cache
def effect_of(path: tuple[Step, ...]) -> frozenset[str]:
    fields = changed(base_config_of(yaml.safe_dump(base_of(path))), config_with(path, KEYS[key_of(path)].value))
    return frozenset(SAME.get(field, field) for field in fields - DERIVED)


@cache  # many keys are written into the same
def base_config_of(text: str) -> Config:
    return load_text(text, "f.yaml", {"BALANCE_HOME": ""}).config


def test_every_key_has_a_row() -> None:
    missing, gone = sorted(FOUND - KEYS.keys()), sorted(KEYS.keys() - FOUND)
    example = 'Key(VALUE, "tests/.../test_....py::test_...")'
    assert not missing, (
        f"add to KEYS in tests/every_key.py, for each of {missing}: a line `{missing[0]!r}: {example}`. VALUE is not the "
        "default; the test is one that fails when the key is ignored (outside tests/config, for what arrives in a Config "
        "does nothing yet). `python -m pytest -m long tests/test_every_key.py -k KEY` proves it."
    )
    assert not gone, f"take out of KEYS in tests/every_key.py: {gone}, which no configuration has"


@pytest.mark.parametrize("path", [path for path in PLACES if key_of(path) in KEYS], ids=lambda path: ".".join(map(str, path)))
def test_a_key_changes_one_thing_and_the_same_one_wherever_it_is_written(path: tuple[Step, ...]) -> None:
    fields = effect_of(path) - KEYS[key_of(path)].follows
    home = next(other for other in PLACES if key_of(other) == key_of(path))
    assert len(fields) == 1, f"{KEYS[key_of(path)].value!r} changes {sorted(fields) or 'nothing'}"
    assert fields == effect_of(home) - KEYS[key_of(home)].follows


@pytest.mark.parametrize(("old", "new"), ALIASES.items(), ids=lambda path: ".".join(path))
def test_an_older_name_does_what_its_key_does(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    key = ".".join(new)
    inner = {name.removeprefix(f"{key}."): row.value for name, row in KEYS.items() if name.startswith(f"{key}.")}
    value = inner or KEYS[key].value
    assert config_with(old, value) == config_with(new, value)


def documented_default(path: tuple[Step, ...]) -> Any:
    """The default that the reference has; None where it has none."""
    annotation: Any = RootSection
    about: Any = None
    for step in path:
        if not (isinstance(annotation, type) and issubclass(annotation, Section)):
            annotation = get_args(annotation)[-1]  # of a list or a mapping
            continue
        about = annotation.model_fields[str(step)]
        annotation = about.annotation
    return (about.json_schema_extra or {}).get("default")


# What stands around these in base_of() says something else already, or they are laid over what a pool or listener says.
_OVERLAID = {
    "proxy_protocol.trusted", "http.routes[].respond.body", "load_balancer.algorithm", "load_balancer.hash_key",
    "tls.client_auth", "pools.NAME.buffering.request", "pools.NAME.buffering.response", "admin.tls.client_auth",
    "logging.access_log.template", "discovery.consul.address",
}  # fmt: skip


@pytest.mark.long
def test_a_default_of_the_reference_changes_nothing_where_it_is_written() -> None:
    homes = {key_of(path): path for path in reversed(PLACES)}
    wrong = {}
    for key, path in homes.items():
        default = documented_default(path)
        if default is not None and key not in _OVERLAID:
            found = changed(config_of(base_of(path)), config_with(path, default)) - DERIVED
            if found:
                wrong[key] = (default, found)
    assert not wrong


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize("key", [key for key in KEYS if key not in PENDING])
def test_the_test_of_a_key_is_there(key: str) -> None:
    file, _, name = KEYS[key].test.partition("::")
    assert not file.startswith("tests/config"), "what arrives in a Config does nothing yet"
    assert name.partition("[")[0] in names_in(file), f"{file} has no {name}: name another that fails when {key} is ignored"


@pytest.fixture(scope="module")
def proof_server() -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, str(ROOT / "tests" / "ignoring" / "proof_server.py")]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        try:
            yield server
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # with what a test that ran out of time has left


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("key", [key for key in KEYS if key not in REQUIRED and key not in PENDING])
def test_the_test_of_a_key_fails_when_the_key_is_ignored(key: str, proof_server: subprocess.Popen[str], tmp_path: Path) -> None:
    home = next(path for path in PLACES if key_of(path) == key)
    (field,) = effect_of(home) - KEYS[key].follows
    assert proof_server.stdin is not None and proof_server.stdout is not None
    output = tmp_path / "output"
    proof_server.stdin.write(f"{field}\t{KEYS[key].test}\t{output}\n")
    proof_server.stdin.flush()
    status = proof_server.stdout.readline().strip()
    assert status == "1", f"it ends with {status or 'its server'} although {field} is ignored:\n{output.read_text()}"
