"""Formats configuration values for output: field names as keys of the file, units as text, secrets as ***.

Works on the fields of the model's dataclasses, so that a new key needs no code here.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Any

from balance.config.model import AdminConfig, MetricsConfig, RateLimit, TracingConfig
from balance.config.route_model import Canary
from balance.config.schema.units import format_duration
from balance.security.settings import BasicAuth

REDACTED = "***"

# Fields whose key in the file has another name. Unit suffixes (_s, _bytes) are removed for all.
_KEYS = {"addresses": "listen", "affinity": "session_affinity", "breaker": "circuit_breaker", "passive": "passive_checks",
         "kind": "type", "protection": "connection_protection"}  # fmt: skip
_KEYS_OF = {
    (AdminConfig, "address"): "listen",
    (MetricsConfig, "address"): "listen",
}
PLAIN_FIELDS = frozenset([(Canary, "key"), (RateLimit, "key")])  # no secrets, whatever they are called

_SECRET_WORDS = frozenset(
    ["secret", "secrets", "password", "passwords", "passwd", "token", "tokens", "key", "keys", "credentials"]
)
_SECRET_FIELDS = frozenset(
    ["authorization", "proxy-authorization", "cookie", "set-cookie"]
)  # header fields of a health check's request
_NO_SECRETS = frozenset(
    ["hash_key", "key_file", "key_password_env", "client_key_file", "client_key_password_env", "token_file"]
)  # names of files and variables
_FETCHED = frozenset(["jwks_url"])  # URLs whose query may be what lets us in
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_ASSIGNED = re.compile(r"(?i)\b([\w-]*(?:secret|password|passwd|token|key))=\S+")
_HASH = re.compile(r"\$(?:2[aby]|argon2[id]{1,2}|scrypt)\$\S+|\bscrypt:\d+:\d+:\d+\$\S+")  # of a password
_SIZES = (("GB", 1024**3), ("MB", 1024**2), ("KB", 1024))


def config_key(owner: type, name: str) -> str:
    """The key in the file for a field of the model."""
    if (owner, name) in _KEYS_OF:
        return _KEYS_OF[owner, name]
    for unit in ("_s", "_bytes"):
        name = name.removesuffix(unit)
    return _KEYS.get(name, name)


def is_section(value: object) -> bool:
    """Whether a value is a dataclass without a __str__ of its own (an Address has one)."""
    return dataclasses.is_dataclass(value) and type(value).__str__ is object.__str__


def is_secret(name: str) -> bool:
    """Whether values under that name (a key or header field) must be redacted."""
    words = re.split(r"[-_.]", name.lower())
    return name not in _NO_SECRETS and (bool(_SECRET_WORDS.intersection(words)) or name.lower() in _SECRET_FIELDS)


def secret_fields(section: object) -> frozenset[str]:
    """The fields of a section that are secrets by what another one says: the value of a header field called Authorization."""
    if isinstance(section, BasicAuth):
        return frozenset(["users", "htpasswd"])
    if isinstance(section, TracingConfig):
        return frozenset(["headers"])
    name = getattr(section, "name", "")
    return frozenset(["value"]) if isinstance(name, str) and is_secret(name) else frozenset()


def json_value(name: str, value: Any) -> Any:
    """The value of a field for JSON: units as text, secrets redacted."""
    if value is None or isinstance(value, bool):
        return value
    if value not in ("", ()) and is_secret(name) and not is_section(value):
        return REDACTED
    if isinstance(value, (int, float)) and not isinstance(value, enum.Enum):
        if name.endswith("_s"):
            return format_duration(value)
        return format_size(int(value)) if name.endswith("_bytes") else value
    if isinstance(value, tuple):
        return _plain_items(name, value)
    if isinstance(value, bytes):  # the content of a file, which may be a key
        return REDACTED
    return _without_query(redact_text(str(value))) if name in _FETCHED else redact_text(str(value))


def _plain_items(name: str, value: tuple[Any, ...]) -> list[Any]:
    if len(value) == 2 and isinstance(value[0], str) and is_secret(value[0]):  # a header, a pair of metadata
        return [value[0], REDACTED]
    items = []
    for index, item in enumerate(value):
        before = value[index - 1] if index else ""
        is_argument = isinstance(before, str) and before.startswith("-") and is_secret(before.lstrip("-"))
        items.append(REDACTED if is_argument else json_value("", item))
    return items


def redact(name: str, value: Any) -> Any:
    """JSON data that the user gave under that key, with secrets redacted."""
    if isinstance(value, dict):
        return {key: redact(key, inner) for key, inner in value.items()}
    if value not in (None, "") and is_secret(name):
        return REDACTED
    if isinstance(value, list):
        return [redact("", inner) for inner in value]
    if isinstance(value, str) and name in _FETCHED:
        return _without_query(redact_text(value))
    return redact_text(value) if isinstance(value, str) else value


def _without_query(url: str) -> str:
    path, mark, query = url.partition("?")
    return path + mark + REDACTED if query else url


def redact_text(text: str) -> str:
    """Redacts the user name and password in URLs, and values as in `password=...`."""
    text = _HASH.sub(REDACTED, text)
    return _ASSIGNED.sub(rf"\1={REDACTED}", _USERINFO.sub(REDACTED, text))


def format_size(count: int) -> str:
    """The shortest text for a number of bytes."""
    for unit, size in _SIZES:
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B" if count else "0"
