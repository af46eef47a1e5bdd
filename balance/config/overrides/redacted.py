"""A configuration as plain data that may be shown: every default filled in, keys as a file has them, secrets as ***."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from balance.config.model import Config
from balance.config.overrides.value_format import is_section, key_of, plain


def redacted(config: Config) -> dict[str, Any]:
    """The whole configuration, ready for JSON."""
    return _section(config)


def _section(section: Any) -> dict[str, Any]:
    return {key_of(type(section), about.name): _value(about.name, getattr(section, about.name)) for about in fields(section)}


def _value(name: str, value: Any) -> Any:
    if is_section(value):
        return _section(value)
    if isinstance(value, tuple) and any(map(is_section, value)):
        return [_value(name, item) for item in value]
    return plain(name, value)
