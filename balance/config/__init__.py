"""The configuration: reads a YAML file or flags, validates it, and returns a frozen Config or every problem with its line.

    source      a file's text or flags, stored so that a reload can load it again
    flags       command-line flags -> Document
    loading     load_file() and load_text(): runs the steps below in order
    export      JSON Schema and the Markdown reference
    checking    errors and warnings that concern several keys together
    build       sections -> Config, defaults applied
    overrides   backend changes made through the admin API; differences between two configurations
    reading     YAML -> Document -> sections of the schema; environment variables, aliases
    schema      every key: type, default, description
    model       the Config dataclasses

Exports are imported on first use, so that a worker process loads neither pydantic nor PyYAML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balance.config.export import json_schema, reference
    from balance.config.flags import from_flags
    from balance.config.loading import Loaded, load_file, load_text
    from balance.errors import UnreadableError

__all__ = ["Loaded", "UnreadableError", "from_flags", "json_schema", "load_file", "load_text", "reference"]

_MODULES = {
    "Loaded": "loading",
    "UnreadableError": "loading",
    "load_file": "loading",
    "load_text": "loading",
    "from_flags": "flags",
    "json_schema": "export",
    "reference": "export",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'balance.config' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"balance.config.{_MODULES[name]}"), name)
