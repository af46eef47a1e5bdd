"""The lines and summaries about the differences of two configurations."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from balance.config.loading import load_text
from balance.config.model import BackendConfig, Config, HashKey
from balance.config.overrides.difference import difference, summary
from balance.config.overrides.value_format import is_section
from balance.model import Address, Mode
from balance.tls.settings import PemFile

BEFORE = """\
listeners:
  - {name: main, listen: ":8080", pool: app}
pools:
  app:
    backends: [{name: a, address: "127.0.0.1:9001"}, {name: b, address: "127.0.0.1:9002"}]
"""


def config(text: str) -> Config:
    return load_text(text, "f.yaml", {}).config


def between(old: str, new: str) -> tuple[str, ...]:
    return difference(config(old), config(new))


@pytest.mark.parametrize(
    ("old", "new", "lines", "short"),
    [
        ("", "", (), "nothing changed"),
        (
            '"127.0.0.1:9002"}]',
            '"127.0.0.1:9002"}, {name: c, address: "h:1", weight: 2}]',
            ("+ backend app/c (h:1, weight 2)",),
            "+1 backend",
        ),
        (
            '[{name: a, address: "127.0.0.1:9001"}, {name: b, address: "127.0.0.1:9002"}]',
            '[{name: b, address: "127.0.0.1:9002", weight: 3}, {name: c, address: "h:1"}, {name: d, address: "h:2", '
            "metadata: {a: b}, backup: true, max_connections: 5}]",
            (
                "- backend app/a (127.0.0.1:9001)",
                "~ backend app/b: weight 1 -> 3",
                "+ backend app/c (h:1)",
                "+ backend app/d (h:2, max_connections 5, backup true)",
            ),
            "+2 backends, -1 backend, ~1 backend",
        ),
        ('"127.0.0.1:9001"', '"h:1"', ("~ backend app/a: address 127.0.0.1:9001 -> h:1",), "~1 backend"),
        (
            "pools:",
            '  - {name: web, listen: [":8443", "unix:/w"], pool: app}\npools:',
            ("+ listener web on :8443, unix:/w",),
            "listener :8443, unix:/w added",
        ),
        (
            "  app:",
            "  raw: {backends: [{name: r, address: 'h:5'}]}\n  app:",
            ("+ pool raw", "+ backend raw/r (h:5)"),
            "+1 backend, pool raw added",
        ),
        (
            "  app:",
            "  app:\n    load_balancer: {algorithm: maglev, hash_key: 'header:X-User'}",
            ("~ pool app: algorithm round-robin -> maglev, hash_key source-ip -> header:X-User",),
            "pool app changed",
        ),
        (
            "pool: app}",
            "pool: app, timeouts: {client_header: 90s}, http: {limits: {head: 64KB}, keepalive: {idle_timeout: 9s}}}",
            (
                "~ timeouts of listener main: client_header 10s -> 1m30s",
                "~ http.keepalive of listener main: idle_timeout default -> 9s",
                "~ http.limits of listener main: head 32KB -> 64KB",
            ),
            "timeouts of listener main changed, http.keepalive of listener main changed, http.limits of listener main changed",
        ),
        (
            "listeners:",
            "workers: 4\nadmin: {listen: '127.0.0.1:1'}\nlogging: {level: debug, access_log: {enabled: true}}\n"
            "shutdown: {delay: 0}\nlisteners:",
            (
                "~ workers: 1 -> 4",
                "~ shutdown_delay: 5s -> 0",
                "~ admin: listen 127.0.0.1:9090 -> 127.0.0.1:1",
                "~ logging: level info -> debug",
                "~ logging.access_log: enabled false -> true",
            ),
            "workers changed, shutdown_delay changed, admin changed, 2 more",
        ),
        (
            '{name: a, address: "127.0.0.1:9001"}, {name: b, address: "127.0.0.1:9002"}',
            '{name: b, address: "127.0.0.1:9002"}, {name: a, address: "127.0.0.1:9001"}',
            ("~ pool app: order of backends",),
            "pool app changed",
        ),
    ],
)
def test_each_change_is_a_line(old: str, new: str, lines: tuple[str, ...], short: str) -> None:
    found = between(BEFORE, BEFORE.replace(old, new, 1) if old else BEFORE)
    assert found == lines
    assert summary(found) == short


def test_what_is_gone_is_told_with_all_that_was_in_it() -> None:
    more = BEFORE.replace(
        "pools:", '  - {name: raw, listen: ":1", pool: raw}\npools:\n  raw: {backends: [{name: r, address: "h:5"}]}'
    )
    assert between(more, BEFORE) == ("- listener raw on :1", "- pool raw", "- backend raw/r (h:5)")


def test_a_secret_is_said_to_have_changed_and_no_more() -> None:
    checks = "  app:\n    health_check: {{enabled: true, type: http, headers: {{Authorization: 'Bearer {0}', X-A: '{0}'}}}}"
    lines = between(BEFORE.replace("  app:", checks.format("one")), BEFORE.replace("  app:", checks.format("two")))
    assert lines == ("~ health_check of pool app: headers changed",)


def test_what_is_long_is_said_to_have_changed_and_no_more() -> None:
    old = config(BEFORE)
    listener = old.listeners[0]
    new = replace(old, listeners=(replace(listener, http=replace(listener.http, error_pages=((404, "<p>" * 99),))),))
    assert difference(old, new) == ("~ http of listener main: error_pages changed",)


@dataclass(frozen=True, slots=True)
class Later(BackendConfig):
    region: str = ""
    patience_s: float = 0.0


def test_a_key_that_comes_later_shows_up_by_itself() -> None:
    old = config(BEFORE)

    def having(backend: BackendConfig) -> Config:
        return replace(old, pools=(replace(old.pools[0], backends=(backend,)),))

    first, second = Later("a", Address("h", 1)), Later("a", Address("h", 1), region="eu", patience_s=1.5)
    assert difference(having(first), having(second)) == ("~ backend app/a: region '' -> eu, patience 0 -> 1s500ms",)


def others(value: Any) -> Any:
    """Other values of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case Mode():
            return Mode.TCP if value is Mode.HTTP else Mode.HTTP
        case str():
            return value + "x"
        case PemFile():
            return PemFile(value.file, b"x")
        case Address():
            return Address("elsewhere", 1)
        case HashKey():
            return HashKey("path")
        case tuple():
            return () if value else (("x", "y"),)
        case None:
            return 5.0
    raise AssertionError(f"no other value for {value!r}")


def changed_somewhere(section: Any) -> Iterator[tuple[str, Any]]:
    """A copy of the section for each value in it, at any depth, with that value changed; and the path of the value."""
    for about in fields(section):
        value = getattr(section, about.name)
        if is_section(value):
            inner = [(path, changed) for path, changed in changed_somewhere(value)]
        elif isinstance(value, tuple) and value and is_section(value[0]):
            inner = [(path, (changed, *value[1:])) for path, changed in changed_somewhere(value[0])]
        else:
            inner = [("", others(value))]
        for path, changed in inner:
            yield f"{about.name}.{path}", replace(section, **{about.name: changed})


@pytest.mark.parametrize(
    ("path", "new"), list(changed_somewhere(config(BEFORE))), ids=lambda each: each if isinstance(each, str) else ""
)
def test_no_change_goes_untold(path: str, new: Config) -> None:
    lines = difference(config(BEFORE), new)
    assert bool(lines) is not path.startswith("source")
    assert all(line[:2] in ("+ ", "- ", "~ ") and line.isprintable() for line in lines)
    assert summary(lines)


ROUTED = """\
listeners: [{name: web, listen: ":8080", pool: app}]
pools: {app: {backends: [{address: "a:1"}]}, next: {backends: [{address: "b:1"}]}}
http:
  routes:
"""


def test_routes_are_told_by_name() -> None:
    old = (
        ROUTED
        + """\
    - {name: api, path: /a, headers: {X-Token: hush1, X-A: b}, policy: {canary: {pool: next}}}
    - {name: old, split: [{pool: app}, {pool: next}]}
    - name: twice
      path: /t
      transform: {response_headers: [{action: add, name: X, value: a}, {action: add, name: X, value: b}]}
"""
    )
    new = (
        ROUTED
        + """\
    - {name: api, path: /b, headers: {X-Token: hush2, X-A: c}, policy: {canary: {pool: next, percent: 5}}, timeouts: {read: 5s}}
    - {name: new, pool: next}
    - name: twice
      path: /t
      transform: {response_headers: [{action: add, name: X, value: c}, {action: add, name: X, value: b}]}
"""
    )
    lines = difference(load_text(old, "f.yaml", {}).config, load_text(new, "f.yaml", {}).config)
    assert lines == (
        "- route web/old",
        "~ match of route web/api: path /a -> /b",
        "~ header web/api/x-token: value changed",
        "~ header web/api/x-a: value b -> c",
        "~ policy.canary of route web/api: percent 0.0 -> 5.0",
        "~ timeouts of pool app of route web/api: read 1m -> 5s",
        "~ timeouts of pool next of route web/api: read 1m -> 5s",
        "+ route web/new",
        "~ transform of route web/twice: response_headers changed",
    )
