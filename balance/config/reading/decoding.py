"""Document -> sections: every key known, every value of its kind, or a problem for each. Not what they mean together."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from balance.config.reading.document import Document, Path, path_text
from balance.config.schema.scalars import shown
from balance.config.schema.schema import RootSection, Section
from balance.config.schema.unsupported_keys import LATER_KEYS
from balance.errors import Problem

MAX_PROBLEMS = 500  # a file of another program would fill screens


def decode(document: Document) -> tuple[RootSection, list[Problem]]:
    """The sections and all problems. What a problem is about is left out of the sections, and noted as broken."""
    problems: list[Problem] = []
    errors = _errors_in(document.data)
    for error in errors[:MAX_PROBLEMS]:
        problems += _problems_of(error, document)
    if len(errors) > MAX_PROBLEMS:
        problems.append(document.problem((), f"and {len(errors) - MAX_PROBLEMS} more problems"))
    # Leave out what is wrong, so that the rest can be looked at in the same run: nobody likes errors one at a time.
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
    """Where the error is in the file. A single value that stands for a list has no index there."""
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
    what = error["type"]
    if what == "extra_forbidden":
        return [_unknown_key(path, document)]
    if what == "value_error":
        message = str(error["ctx"]["error"])
    elif (hint := _missing_space(error["input"], path)) is not None:
        message = hint
    elif what == "list_type":
        message = f"expected a list, each item after a '- ', got {shown(error['input'])}"
    elif what in ("dict_type", "model_type", "model_attributes_type"):
        message = f"expected keys below it{_example(path)}, got {shown(error['input'])}"
        if error["input"] is None:
            message += "; write some or leave it out"
    else:
        message = f"{error['msg']}, got {shown(error['input'])}"
    return [document.problem(path, message, of_key=of_key)]


def _missing_space(given: Any, path: Path) -> str | None:
    """`- address:127.0.0.1:9001` is a text to YAML, and `-address: ...` a key."""
    if isinstance(given, dict) and any(isinstance(key, str) and key[:1] == "-" for key in given):
        key = next(key for key in given if key[:1] == "-")
        return f"a space is missing behind the hyphen: write - {shown(key[1:])[1:-1]}: ..."
    section = _annotation_at(path)
    key = given.partition(":")[0] if isinstance(given, str) and ":" in given else ""
    if key and _is_section(section) and key in section.model_fields:
        return f"a space is missing behind the colon: write {key}: ..."
    return None


# What is written below a key that users tend to fill in directly.
_EXAMPLES = {
    "backends": '{address: "127.0.0.1:9001"}',
    "load_balancer": "{algorithm: round-robin}",
    "health_check": "{enabled: true}",
    "access_log": "{enabled: true}",
    "admin": '{listen: "127.0.0.1:9090"}',
}


def _example(path: Path) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f", as {_EXAMPLES[name]}" if name in _EXAMPLES else ""


def _unknown_key(path: Path, document: Document) -> Problem:
    section, name = _section_at(path[:-1]), str(path[-1])
    known = list(section.model_fields)
    later = LATER_KEYS.get(section.place, frozenset())
    if (begun := name.partition(":")[0]) in known:
        document.broken.add((*path[:-1], begun))
        return document.problem(path, f"a space is missing behind the colon: write {begun}: ...", of_key=True)
    if (section.place, name) in _ELSEWHERE:
        meant, example = _ELSEWHERE[section.place, name]
        document.broken.add((*path[:-1], meant))
        return document.problem(path, f"unknown key; write {example}", of_key=True)
    if name in later:
        return document.problem(path, f"{name!r} is not available in this version", of_key=True)
    if homes := _homes_of(name, [home for home in _KIN if issubclass(_SECTIONS[home], section)]):
        return document.problem(path, f"unknown key here; it belongs to {homes}", of_key=True)
    # Also in the spelling of other programs: maxConnections, max-connections.
    plain = "".join(f"_{c.lower()}" if c.isupper() else c for c in name[:80]).replace("-", "_").strip("_")
    for close in get_close_matches(plain, known, 1) or get_close_matches(plain, sorted(later), 1):
        if close in later:
            message = f"unknown key; {close!r}, if that is meant, is not available in this version"
        else:
            document.broken.add((*path[:-1], close))
            message = f"unknown key; did you mean {close!r}?"
        return document.problem(path, message, of_key=True)
    if homes := _homes_of(name, _SECTIONS):
        return document.problem(path, f"unknown key here; it belongs to {homes}", of_key=True)
    return document.problem(path, f"unknown key; allowed: {', '.join(known) or 'nothing'}", of_key=True)


def _homes_of(name: str, homes: Iterable[Path]) -> str:
    """Which of these know a key of that name."""
    return " or ".join(path_text((*home, name)) for home in homes if name in _SECTIONS[home].model_fields)


def _missing(document: Document) -> list[Problem]:
    """Required keys that are absent where their section is present."""
    found = []
    for path, section in _present(document.data, (), RootSection):
        for name, about in section.model_fields.items():
            extra = about.json_schema_extra
            inner = (*path, name)
            if isinstance(extra, dict) and extra.get("required") and not document.has(inner):
                if not document.is_broken(inner):
                    found.append(document.problem(path, f"{name!r} is missing: {_first_line(about.description)}"))
                document.broken.add(inner)
    return found


def _first_line(description: str | None) -> str:
    return (description or "").rstrip(".")


def _present(data: Any, path: Path, annotation: Any) -> list[tuple[Path, type[Section]]]:
    """Every section that is written, with its path."""
    if _is_section(annotation):
        inner = [
            pair
            for name, about in annotation.model_fields.items()
            if name in data
            for pair in _present(data[name], (*path, name), about.annotation)
        ]
        return [(path, annotation), *inner]
    args = get_args(annotation)
    if not args or not _is_section(args[-1]):
        return []
    items = data.items() if isinstance(data, dict) else enumerate(data)
    return [pair for step, item in items for pair in _present(item, (*path, step), args[-1])]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _annotation_at(path: Path) -> Any:
    """What the schema says may stand there; None for an unknown key."""
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
    """A copy of the data without what stands at those paths."""
    copy = Document(document.file, deepcopy(document.data))
    for path in paths:
        if not copy.has(path):
            continue  # went with something around it
        parent, step = copy.at(path[:-1]), path[-1]
        if _is_section(_annotation_at(path)) and parent[step] != {}:
            parent[step] = {}  # so that its neighbours keep their places, and what names it still finds it
        elif isinstance(parent, list):
            copy.at(path[:-2])[path[-2]] = []
        else:
            del parent[step]
    return copy.data


# What other programs call it, and what says the same here: (place, key) -> the key that is meant, an example.
_LISTENS = ("listen", 'listen: ":8080"')
_LEADS = ("backends", 'backends: [{address: "127.0.0.1:9001"}]')
_IS_AT = ("address", 'address: "127.0.0.1:9001"')
_ELSEWHERE: dict[tuple[str, str], tuple[str, str]] = {
    **{("", name): _LISTENS for name in ("port", "host", "bind", "frontend", "frontends")},
    **{("", name): _LEADS for name in ("server", "servers", "upstream", "upstreams", "backend", "targets", "endpoints")},
    **{("pool", name): _LEADS for name in ("server", "servers", "upstream", "upstreams", "targets", "endpoints")},
    **{("listener", name): _LISTENS for name in ("port", "host", "bind", "address")},
    **{("backend", name): _IS_AT for name in ("host", "port", "url", "server", "ip", "hostname")},
}
# Those that have keys which a part of them, elsewhere, has not: no misspelling there.
_KIN: list[Path] = [("timeouts",), ("listeners", 0, "timeouts")]
_SECTIONS: dict[Path, type[Section]] = {
    path: _section_at(path)
    for path in [
        (), ("load_balancer",), ("health_check",), ("timeouts",), ("listeners", 0, "timeouts"), ("http",),
        ("http", "keepalive"), ("http", "limits"), ("http", "reply_headers"),
        ("security",), ("logging",), ("logging", "access_log"), ("backends", 0),
    ]
}  # fmt: skip
