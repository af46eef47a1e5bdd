"""The effective configuration as JSON data: every default filled in, keys as in a file, secrets as ***."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from balance.config.model import Config
from balance.config.overrides.value_format import PLAIN_FIELDS, REDACTED, config_key, is_section, json_value, secret_fields


def redacted(config: Config) -> dict[str, Any]:
    """The whole configuration as JSON data."""
    return _section(config)


def _section(section: Any) -> dict[str, Any]:
    shown, secrets = {}, secret_fields(section)
    for attr in fields(section):
        value = getattr(section, attr.name)
        if attr.name in secrets and value not in ("", ()):
            value = REDACTED
        elif (type(section), attr.name) not in PLAIN_FIELDS:
            value = _value(attr.name, value)
        elif isinstance(value, tuple):
            value = list(value)
        shown[config_key(type(section), attr.name)] = value
    return shown


def _value(name: str, value: Any) -> Any:
    if is_section(value):
        return _section(value)
    if isinstance(value, tuple) and any(map(is_section, value)):
        return [_value(name, item) for item in value]
    return json_value(name, value)
