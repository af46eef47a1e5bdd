"""JSON Schema for editors and a Markdown reference, both generated from the configuration schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args

from balance.config.reading.aliases import ALIASES
from balance.config.reading.document import path_text
from balance.config.reading.environment import OVERRIDES
from balance.config.schema.schema import ListenerSection, PoolSection, RootSection
from balance.config.schema.section import Section
from balance.config.schema.unsupported_keys import UNSUPPORTED_KEYS

_TITLE = "Balance configuration"
_INTRODUCTION = """\
This page is made from the schema that checks a file; `balance-validate --reference` prints it. Editors get the same from
`balance-validate --schema`, or from a first line `# yaml-language-server: $schema=...`. Files that work are in
`deployments/examples/`.

Durations are written `500ms`, `5s`, `1m30s`, `1h`; a bare number is seconds. Sizes are written `512B`, `64KB`, `10MB`, with
1024 bytes to the KB; a bare number is bytes. `${VAR}` and `${VAR:-default}` are filled in from the environment, without the
line breaks that a value may end in, and `$$` is a dollar sign. Booleans are `true` and `false`; `yes`, `no`, `on` and `off`
are plain text. A key that is not on this page is an error, but those at the top that begin with `x-`: they are yours, for
what is anchored in them (`x-fast: &fast {read: 5s}`) and used elsewhere (`timeouts: *fast`, or `<<: *fast` among other keys),
and mean nothing else.

These variables win over the file:
"""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file. Every value may also be a text with a ${VARIABLE}."""
    schema = RootSection.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    for section in (schema, *definitions.values()):
        section.pop("title", None)
        properties = section.get("properties", {})
        required = [name for name, info in properties.items() if info.pop("required", False)]
        if required:
            section["required"] = required
        for info in properties.values():
            info.pop("title", None)
            if info.get("default", 0) is None:
                del info["default"]
    for old, new in ALIASES.items():
        _add_alias(definitions, old, new)
    schema["patternProperties"] = {"^x-": {"description": "Yours, for anchors."}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _TITLE, **schema}


def _add_alias(definitions: dict[str, Any], old: tuple[str | int, ...], new: tuple[str | int, ...]) -> None:
    source, target = _section(old[:-1]), _section(new[:-1])
    info = dict(definitions[target.__name__]["properties"][new[-1]])
    info.pop("default", None)
    info |= {"description": f"Older name of {'.'.join(map(str, new))}.", "deprecated": True}
    definitions[source.__name__].setdefault("properties", {})[old[-1]] = info


# Where more is said about a section, for those who read its keys here.
_SEE: Final = {
    "http": " With HTTP/2: [OPERATING.md](OPERATING.md#http2); with gRPC: [GRPC.md](GRPC.md).",
    "http2": " What clients meet: [OPERATING.md](OPERATING.md#http2); for gRPC: [GRPC.md](GRPC.md#long-lived-connections).",
}


def _section(path: tuple[str | int, ...]) -> type[Section]:
    here: Any = RootSection
    for step in path:
        here = here.model_fields[step].annotation
    section: type[Section] = here
    return section


def reference() -> str:
    """The Markdown page with every key, its default and its description."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield _INTRODUCTION
    for variable, path in OVERRIDES.items():
        yield f"- `{variable}`: `{path_text(path)}`"
    yield ""
    yield "## The whole file"
    yield from _table(RootSection)
    for title, section in _sections(RootSection):
        yield ""
        yield f"## {title}"
        yield ""
        yield " ".join((section.__doc__ or "").split()) + _SEE.get(section.section_name, "")
        yield from _table(section)
    yield ""
    yield "## Older names"
    yield ""
    yield "| Older name | Is |"
    yield "| --- | --- |"
    for old, new in ALIASES.items():
        yield f"| `{'.'.join(map(str, old))}` | `{'.'.join(map(str, new))}` |"
    yield ""
    yield "## Not in this version"
    yield ""
    yield "Refused by name, so that a file never seems to do what it does not:"
    yield ""
    for section_name, keys in UNSUPPORTED_KEYS.items():
        yield f"- {section_name or 'at the top'}: " + ", ".join(f"`{key}`" for key in sorted(keys))


def _table(section: type[Section]) -> Iterator[str]:
    if not section.model_fields:
        return
    yield ""
    yield "| Key | Default | |"
    yield "| --- | --- | --- |"
    properties = section.model_json_schema()["properties"]
    for name, info in section.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        inner = _section_in(info.annotation)
        default = "required" if extra.get("required") else _format_default(extra["default"]) if "default" in extra else ""
        values = _values(properties[name])
        text = (info.description or "").replace("|", "\\|")
        if inner is not None:
            text += f" See [{inner.section_name}](#{inner.section_name.replace(' ', '-')})."
        yield f"| `{name}` | {default} | {values}{text} |"


def _values(info: dict[str, Any]) -> str:
    """The words that a key may be, as its JSON schema has them."""
    words = [str(word) for kind in info.get("anyOf", ()) for word in kind.get("enum", ())]
    shown = [f"`{word}`" for word in words if "_" not in word or word.replace("_", "-") not in words]  # other spellings
    return ", ".join(shown) + ". " if shown else ""


def _format_default(default: Any) -> str:
    if default in ("", [], {}):
        return "none"
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _section_in(annotation: Any) -> type[Section] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _sections(start: type[Section]) -> list[tuple[str, type[Section]]]:
    """Every section once: listener and pool first, the others in the order of the schema."""
    found: dict[str, type[Section]] = {}

    def visit(section: type[Section]) -> None:
        for info in section.model_fields.values():
            inner = _section_in(info.annotation)
            if inner is not None and inner.section_name not in found:
                found[inner.section_name] = inner
                visit(inner)

    for section in (ListenerSection, PoolSection):
        found[section.section_name] = section
    visit(start)
    for section in (ListenerSection, PoolSection):
        visit(section)
    return list(found.items())
