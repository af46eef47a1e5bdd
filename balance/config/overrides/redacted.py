"""The effective configuration as JSON data: every default filled in, keys as in a file, secrets as ***."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from balance.config.model import Config
from balance.config.overrides.value_format import config_key, is_section, json_value


def redacted(config: Config) -> dict[str, Any]:
    """The whole configuration as JSON data."""
    return _section(config)


def _section(section: Any) -> dict[str, Any]:
    return {config_key(type(section), attr.name): _value(attr.name, getattr(section, attr.name)) for attr in fields(section)}


def _value(name: str, value: Any) -> Any:
    if is_section(value):
        return _section(value)
    if isinstance(value, tuple) and any(map(is_section, value)):
        return [_value(name, item) for item in value]
    return json_value(name, value)
