"""Document -> sections of the schema: reports unknown keys, wrong types and missing keys, with suggestions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from balance.config.reading.document import Document, Path, path_text
from balance.config.schema.common_sections import TimeoutsSection
from balance.config.schema.scalars import display
from balance.config.schema.schema import RootSection
from balance.config.schema.section import Section
from balance.config.schema.unsupported_keys import UNSUPPORTED_KEYS
from balance.config.schema.values.inner_error import InnerError
from balance.errors import Problem

MAX_PROBLEMS = 500  # the rest is counted: another program's file could have thousands


def decode(document: Document) -> tuple[RootSection, list[Problem]]:
    """The sections and all problems. A key with a problem is left out of the sections and added to `document.broken`."""
    problems: list[Problem] = []
    errors = _errors_in(document.data)
    for error in errors[:MAX_PROBLEMS]:
        problems += _problems_of(error, document)
    if len(errors) > MAX_PROBLEMS:
        problems.append(document.problem((), f"and {len(errors) - MAX_PROBLEMS} more problems"))
    # Remove what is wrong, so that the later checks can report on the rest in the same run.
    while errors:
        document.data = _without(document, {_path_of(error, document) for error in errors})
        errors = _errors_in(document.data)
    problems += _missing(document)
    return RootSection.model_validate(document.data), problems


def _errors_in(data: dict[str, Any]) -> list[ErrorDetails]:
    try:
        RootSection.model_validate(data)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _path_of(error: ErrorDetails, document: Document) -> Path:
    """The path of the error in the document. A single value in place of a list has no index there."""
    path: Path = error["loc"]
    while path and not document.has(path):
        path = path[:-1]
    return path


def _problems_of(error: ErrorDetails, document: Document) -> list[Problem]:
    path = _path_of(error, document)
    of_key = error["loc"][len(path) :] == ("[key]",)
    if document.is_broken(path):
        return []
    document.broken.add(path)
    if isinstance(inner := (error.get("ctx") or {}).get("error"), InnerError) and document.has((*path, *inner.path)):
        return [document.problem((*path, *inner.path), str(inner))]
    what = error["type"]
    if what == "extra_forbidden":
        return [_unknown_key(path, document)]
    if what == "value_error":
        message = str(error["ctx"]["error"])
    elif (hint := _missing_space(error["input"], path)) is not None:
        message = hint
    elif what == "list_type":
        message = f"expected a list, each item after a '- ', got {_shown(path, error['input'])}"
    elif what in ("dict_type", "model_type", "model_attributes_type"):
        message = f"expected keys below it{_example_hint(path)}, got {_shown(path, error['input'])}"
        if error["input"] is None:
            message += "; write some or leave it out"
    else:
        message = f"{error['msg']}, got {_shown(path, error['input'])}"
    return [document.problem(path, message, of_key=of_key)]


def _shown(path: Path, value: Any) -> str:
    """A value that is wrong, unless it may be a secret: one that stands in place of its section."""
    names = {word for step in path if isinstance(step, str) for word in step.split("_")}
    return "something else" if names & _OF_SECRETS and value is not None else display(value)


_OF_SECRETS = frozenset(["auth", "tokens", "token", "secret", "password", "jwt", "users", "url", "redis"])


def _missing_space(given: Any, path: Path) -> str | None:
    """A hint for `- address:127.0.0.1:9001`, which is a text in YAML, and for `-address: ...`, which is a key."""
    if isinstance(given, dict) and any(isinstance(key, str) and key[:1] == "-" for key in given):
        key = next(key for key in given if key[:1] == "-")
        return f"a space is missing behind the hyphen: write - {display(key[1:])[1:-1]}: ..."
    section = _annotation_at(path)
    key = given.partition(":")[0] if isinstance(given, str) and ":" in given else ""
    if key and _is_section(section) and key in section.model_fields:
        return f"a space is missing behind the colon: write {key}: ..."
    return None


# Examples for mappings that users often give as a single value.
_EXAMPLES = {
    "http2": "{max_concurrent_streams: 100}",
    "backends": '{address: "127.0.0.1:9001"}',
    "load_balancer": "{algorithm: round-robin}",
    "health_check": "{enabled: true}",
    "redirect": "{to: https://example.org/}",
    "respond": "{status: 404}",
    "compression": "{enabled: true}",
    "buffering": "{request: 1MB}",
    "access_log": "{enabled: true}",
    "ip_blocklist": "{blocked_ips: [192.0.2.1], blocked_cidrs: [198.51.100.0/24]}",
    "admin": '{listen: "127.0.0.1:9090"}',
    "auth": "{tokens: [{name: ops, token_file: ops.token}]}",
    "tokens": "{name: ops, token_file: ops.token}",
    "read_only_tokens": "{name: ci, token_file: ci.token}",
}


def _example_hint(path: Path) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f", as {_EXAMPLES[name]}" if name in _EXAMPLES else ""


def _unknown_key(path: Path, document: Document) -> Problem:
    section, name = _section_at(path[:-1]), str(path[-1])
    known = list(section.model_fields)
    unsupported = UNSUPPORTED_KEYS.get(section.section_name, frozenset())
    if (key_before_colon := name.partition(":")[0]) in known:
        document.broken.add((*path[:-1], key_before_colon))
        return document.problem(path, f"a space is missing behind the colon: write {key_before_colon}: ...", of_key=True)
    if (section.section_name, name) in _FOREIGN_KEYS:
        own_key, example = _FOREIGN_KEYS[section.section_name, name]
        document.broken.add((*path[:-1], own_key))
        return document.problem(path, f"unknown key; write {example}", of_key=True)
    if name in unsupported:
        return document.problem(path, f"{name!r} is not available in this version", of_key=True)
    if sections := _sections_with_key(name, [wider for wider in _WIDER_SECTIONS if issubclass(_SECTIONS[wider], section)]):
        return document.problem(path, f"unknown key here; it belongs to {sections}", of_key=True)
    # maxConnections and max-connections are close to max_connections, too.
    snake_case = "".join(f"_{c.lower()}" if c.isupper() else c for c in name[:80]).replace("-", "_").strip("_")
    if timeouts := _timeout_keys(snake_case, section):
        return document.problem(path, f"unknown key; did you mean {timeouts}?", of_key=True)
    for close in get_close_matches(snake_case, known, 1) or get_close_matches(snake_case, sorted(unsupported), 1):
        if close in unsupported:
            message = f"unknown key; {close!r}, if that is meant, is not available in this version"
        else:
            document.broken.add((*path[:-1], close))
            message = f"unknown key; did you mean {close!r}?"
        return document.problem(path, message, of_key=True)
    if sections := _sections_with_key(name, _SECTIONS):
        return document.problem(path, f"unknown key here; it belongs to {sections}", of_key=True)
    return document.problem(path, f"unknown key; allowed: {', '.join(known) or 'nothing'}", of_key=True)


def _timeout_keys(name: str, section: type[Section]) -> str:
    """What `read_timeout`, `timeout_read` and nginx's `proxy_read_timeout` mean: 'timeouts.read'. "" when there is none.

    Not in a section with a `timeout` of its own, and not for a key that only another section has, as retry.per_try_timeout.
    """
    match = re.fullmatch(r"(?:proxy_)?(\w+)_timeout|timeout[_ ](\w+)", name)
    key = (match[1] or match[2]) if match else ""
    if key not in TimeoutsSection.model_fields or "timeout" in section.model_fields:
        return ""
    same_name = _sections_with_key(name, _SECTIONS)
    return f"'timeouts.{key}'" + (f" or {same_name!r}" if same_name else "")


def _sections_with_key(name: str, sections: Iterable[Path]) -> str:
    """The paths of that key in those of the sections that have it."""
    return " or ".join(path_text((*path, name)) for path in sections if name in _SECTIONS[path].model_fields)


def _missing(document: Document) -> list[Problem]:
    """A problem for each required key that is missing in a section of the document."""
    found = []
    for path, section in _present_sections(document.data, (), RootSection):
        for name, info in section.model_fields.items():
            extra = info.json_schema_extra
            inner = (*path, name)
            if isinstance(extra, dict) and extra.get("required") and not document.has(inner):
                if not document.is_broken(inner):
                    found.append(document.problem(path, f"{name!r} is missing: {_summary(info.description)}"))
                document.broken.add(inner)
    return found


def _summary(description: str | None) -> str:
    return (description or "").rstrip(".")


def _present_sections(data: Any, path: Path, annotation: Any) -> list[tuple[Path, type[Section]]]:
    """Every section of the document with its path."""
    if _is_section(annotation):
        inner = [
            pair
            for name, info in annotation.model_fields.items()
            if name in data
            for pair in _present_sections(data[name], (*path, name), info.annotation)
        ]
        return [(path, annotation), *inner]
    args = get_args(annotation)
    if not args or not _is_section(args[-1]):
        return []
    items = data.items() if isinstance(data, dict) else enumerate(data)
    return [pair for step, item in items for pair in _present_sections(item, (*path, step), args[-1])]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _annotation_at(path: Path) -> Any:
    """The schema's type at that path; None for an unknown key."""
    here: Any = RootSection
    for step in path:
        if _is_section(here):
            here = here.model_fields[step].annotation if step in here.model_fields else None
        else:
            here = (get_args(here) or (None,))[-1]
    return here


def _section_at(path: Path) -> type[Section]:
    section: type[Section] = _annotation_at(path)
    return section


def _without(document: Document, paths: set[Path]) -> dict[str, Any]:
    """A copy of the data without the values at those paths."""
    copy = Document(document.file, deepcopy(document.data))
    for path in paths:
        if not copy.has(path):
            continue  # removed with a parent
        parent, step = copy.at(path[:-1]), path[-1]
        if _is_section(_annotation_at(path)) and parent[step] != {}:
            parent[step] = {}  # so that the indices of its neighbours and references to its name stay valid
        elif isinstance(parent, list):
            copy.at(path[:-2])[path[-2]] = []
        else:
            del parent[step]
    return copy.data


# Keys of other programs: (section name, key) -> our key, an example.
_USE_LISTEN = ("listen", 'listen: ":8080"')
_USE_BACKENDS = ("backends", 'backends: [{address: "127.0.0.1:9001"}]')
_USE_ADDRESS = ("address", 'address: "127.0.0.1:9001"')
_FOREIGN_KEYS: dict[tuple[str, str], tuple[str, str]] = {
    **{("", name): _USE_LISTEN for name in ("port", "host", "bind", "frontend", "frontends")},
    **{("", name): _USE_BACKENDS for name in ("server", "servers", "upstream", "upstreams", "backend", "targets", "endpoints")},
    **{("pool", name): _USE_BACKENDS for name in ("server", "servers", "upstream", "upstreams", "targets", "endpoints")},
    **{("listener", name): _USE_LISTEN for name in ("port", "host", "bind", "address")},
    **{(name, "http2"): ("http", "it below http: http: {http2: ...}") for name in ("", "listener")},
    ("backend", "tls"): ("tls", "https://host:port as its address, and the rest as tls of its pool"),
    ("route", "tls"): ("tls", "tls in the pool that it leads to (pools.NAME.tls), or tls.backend at the top"),
    ("listener tls", "backend"): ("backend", "it as tls of a pool (pools.NAME.tls), or as tls.backend at the top"),
    **{("backend", name): _USE_ADDRESS for name in ("host", "port", "url", "server", "ip", "hostname")},
}
# Sections with keys that their narrower forms elsewhere (a listener's or pool's timeouts) lack.
_WIDER_SECTIONS: list[Path] = [("timeouts",), ("listeners", 0, "timeouts"), ("http", "limits"), ("http", "buffering")]
_SECTIONS: dict[Path, type[Section]] = {
    path: _section_at(path)
    for path in [
        (), ("load_balancer",), ("health_check",), ("timeouts",), ("listeners", 0, "timeouts"), ("http",),
        ("http", "keepalive"), ("http", "limits"), ("http", "reply_headers"), ("http", "buffering"), ("http", "routes", 0),
        ("security",), ("logging",), ("logging", "access_log"), ("backends", 0),
    ]
}  # fmt: skip
