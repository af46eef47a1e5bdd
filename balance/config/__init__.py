"""Text -> a frozen, checked configuration; every problem with its file, line, column and key.

    loading     the one way in: load_file, load_text         flags      the same from a command line
    source      the one way in, kept to be gone again        changes    what operators laid over a file
    reader      YAML -> Document, with the place of everything (composer: the syntax; variables: ${NAME})
    decoding    Document -> sections of the schema           later      what is refused by name
    build       sections -> Config (model)                   meaning    what is wrong together
    advice      what is probably not meant                   export     JSON Schema, reference
    difference  what a reload changes, in lines              redacted   what may be shown (wording: how)

What is exported here is imported when it is used: a worker that is handed a Config must not pay for pydantic and YAML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balance.config.export import json_schema, reference
    from balance.config.flags import from_flags
    from balance.config.loading import Loaded, UnreadableError, load_file, load_text

__all__ = ["Loaded", "UnreadableError", "from_flags", "json_schema", "load_file", "load_text", "reference"]

_HOMES = {
    "Loaded": "loading",
    "UnreadableError": "loading",
    "load_file": "loading",
    "load_text": "loading",
    "from_flags": "flags",
    "json_schema": "export",
    "reference": "export",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'balance.config' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"balance.config.{_HOMES[name]}"), name)
