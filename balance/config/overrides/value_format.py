"""How a configuration's values are written for people: keys as a file has them, durations and sizes as text, no secret.

Generic over the fields of the model, so that a key added there is worded without a line here.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Any

from balance.config.model import AdminConfig, MetricsConfig
from balance.config.schema.units import duration_text

HIDDEN = "***"

# Fields whose key in a file is another word. The unit at the end of a name goes by itself.
_KEYS = {"addresses": "listen", "affinity": "session_affinity", "breaker": "circuit_breaker", "passive": "passive_checks",
         "kind": "type"}  # fmt: skip
_KEYS_OF = {(AdminConfig, "address"): "listen", (MetricsConfig, "address"): "listen"}

_SECRET_WORDS = frozenset(
    ["secret", "secrets", "password", "passwords", "passwd", "token", "tokens", "key", "keys", "credentials"]
)
_SECRET_FIELDS = frozenset(["authorization", "proxy-authorization", "cookie"])  # of a request that a probe sends
_NO_SECRETS = frozenset(["hash_key"])
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_ASSIGNED = re.compile(r"(?i)\b([\w-]*(?:secret|password|passwd|token|key))=\S+")
_SIZES = (("GB", 1024**3), ("MB", 1024**2), ("KB", 1024))


def key_of(owner: type, name: str) -> str:
    """The key of a file that became that field."""
    if (owner, name) in _KEYS_OF:
        return _KEYS_OF[owner, name]
    for unit in ("_s", "_bytes"):
        name = name.removesuffix(unit)
    return _KEYS.get(name, name)


def is_section(value: object) -> bool:
    """Whether a value has fields of its own to look at: a dataclass that has no way to write itself as a text."""
    return dataclasses.is_dataclass(value) and type(value).__str__ is object.__str__


def is_secret(name: str) -> bool:
    """Whether the value of a field (or header) of that name must not be shown."""
    words = re.split(r"[-_.]", name.lower())
    return name not in _NO_SECRETS and (bool(_SECRET_WORDS.intersection(words)) or name.lower() in _SECRET_FIELDS)


def plain(name: str, value: Any) -> Any:
    """The value of a field as JSON can have it: units as text, secrets hidden."""
    if value is None or isinstance(value, bool):
        return value
    if value not in ("", ()) and is_secret(name) and not is_section(value):
        return HIDDEN
    if isinstance(value, (int, float)) and not isinstance(value, enum.Enum):
        if name.endswith("_s"):
            return duration_text(value)
        return size_text(int(value)) if name.endswith("_bytes") else value
    if isinstance(value, tuple):
        return _plain_items(name, value)
    return hidden_in(str(value))


def _plain_items(name: str, value: tuple[Any, ...]) -> list[Any]:
    if len(value) == 2 and isinstance(value[0], str) and is_secret(value[0]):  # a header, a pair of metadata
        return [value[0], HIDDEN]
    items = []
    for index, item in enumerate(value):
        before = value[index - 1] if index else ""
        is_argument = isinstance(before, str) and before.startswith("-") and is_secret(before.lstrip("-"))
        items.append(HIDDEN if is_argument else plain("", item))
    return items


def hidden(name: str, value: Any) -> Any:
    """JSON data as a user wrote it under that key, secrets hidden."""
    if isinstance(value, dict):
        return {key: hidden(key, inner) for key, inner in value.items()}
    if value not in (None, "") and is_secret(name):
        return HIDDEN
    if isinstance(value, list):
        return [hidden("", inner) for inner in value]
    return hidden_in(value) if isinstance(value, str) else value


def hidden_in(text: str) -> str:
    """The text without the user and password of a URL, and without what is assigned to a secret's name."""
    return _ASSIGNED.sub(rf"\1={HIDDEN}", _USERINFO.sub(HIDDEN, text))


def size_text(count: int) -> str:
    """The shortest way to write that size."""
    for unit, size in _SIZES:
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B" if count else "0"
