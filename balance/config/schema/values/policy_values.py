"""Value types of policies: the conditions of rules, when a fault ends, and what a canary's users are told apart by."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from balance.config.route_model import Condition
from balance.config.schema.addresses import NETWORK
from balance.config.schema.hash_keys import HASH_KEY
from balance.config.schema.scalars import JsonSchema, Scalar, as_text, display
from balance.config.schema.units import duration_s
from balance.config.schema.values.inner_error import InnerError
from balance.config.schema.values.route_values import COOKIE_NAME, LOWER_FIELD_NAME, QUERY_NAME, REGEX
from balance.host_names import normalize_host

PLAIN_SUBJECTS = ("path", "host", "method", "scheme", "client_ip", "region")
NAMED_SUBJECTS: dict[str, Scalar] = {"header": LOWER_FIELD_NAME, "cookie": COOKIE_NAME, "query": QUERY_NAME}
COMBINATIONS = ("all", "any", "not")
OPERATORS = ("equals", "in", "contains", "prefix", "suffix", "regex", "cidr", "exists")
MAX_DEPTH = 20

_SUBJECTS = ", ".join((*PLAIN_SUBJECTS, *(f"{kind}:NAME" for kind in NAMED_SUBJECTS)))


def _condition(value: object, depth: int = 0) -> Condition:
    if not isinstance(value, dict):
        raise ValueError(f"expected a condition like {{subject: path, prefix: /admin}} or {{all: [...]}}, got {display(value)}")
    if depth > MAX_DEPTH:
        raise ValueError(f"conditions are nested deeper than {MAX_DEPTH}")
    combinations = [name for name in COMBINATIONS if name in value]
    if combinations:
        name = combinations[0]
        if len(value) > 1:
            other = next(key for key in value if key != name)
            raise ValueError(f"{name} stands beside {other}; put both into a list below all or any")
        return _combination(name, value[name], depth)
    return _test(value)


def _combination(name: str, listed: object, depth: int) -> Condition:
    if isinstance(listed, dict) and name == "not":
        listed = [listed]
        is_list = False
    else:
        is_list = True
    if not isinstance(listed, list) or not listed:
        raise InnerError(f"expected a list of conditions, got {display(listed) if listed != [] else 'an empty list'}", name)
    inner = []
    for index, each in enumerate(listed):
        try:
            inner.append(_condition(each, depth + 1))
        except ValueError as error:
            raise InnerError(str(error), name, *((index,) if is_list else ()), *getattr(error, "path", ())) from None
    return Condition(name, conditions=tuple(inner))


def _test(value: dict[str, Any]) -> Condition:
    unknown = [key for key in value if key not in (*OPERATORS, "subject")]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no part of a condition; write subject and one of {', '.join(OPERATORS)}")
    if "subject" not in value:
        raise ValueError(f"subject is missing: one of {_SUBJECTS}")
    operators = [key for key in value if key != "subject"]
    if len(operators) != 1:
        found = f"{' and '.join(operators)} are several" if operators else "there is none"
        raise ValueError(f"a condition has one test, and {found}; write one of {', '.join(OPERATORS)}")
    operator = operators[0]
    subject, name = _subject(value["subject"])
    try:
        return Condition(operator, subject, name, _operand(operator, subject, value[operator]))
    except ValueError as error:
        raise InnerError(str(error), operator) from None


def _subject(value: object) -> tuple[str, str]:
    kind, colon, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind in PLAIN_SUBJECTS and not colon:
        return kind, ""
    if kind not in NAMED_SUBJECTS or not colon:
        raise InnerError(f"{display(value)} is not one of {_SUBJECTS}", "subject")
    try:
        return kind, NAMED_SUBJECTS[kind].read(name)
    except ValueError as error:
        raise InnerError(str(error), "subject") from None


def _operand(operator: str, subject: str, value: object) -> str | bool | tuple[str, ...]:
    if operator == "exists":
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, got {display(value)}")
        return value
    if operator == "cidr":
        if subject not in ("client_ip", "header"):
            raise ValueError("only client_ip, or a header field with an address, is in a network")
        return tuple(str(NETWORK.read(each)) for each in (value if isinstance(value, list) else [value]))
    if operator == "in":
        if not isinstance(value, list) or not value:
            raise ValueError(f"expected a list of texts, got {display(value)}")
        return tuple(_compared(subject, each) for each in value)
    if operator == "regex":
        pattern: str = REGEX.read(value)
        return pattern
    if operator == "equals":
        return _compared(subject, value)
    return as_text(value)


def _compared(subject: str, value: object) -> str:
    """The text as its subject is written: hosts in one spelling, methods in capitals, schemes and addresses in lower case."""
    text = as_text(value)
    match subject:
        case "host":
            return normalize_host(text)
        case "method":
            return text.upper()
        case "scheme" | "client_ip":
            return text.lower()
    return text


def _until(value: object) -> tuple[float, bool]:
    """Seconds since the epoch and False, or seconds after the load and True."""
    if isinstance(value, str) and "-" in value:
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{display(value)} is no time, like 2026-12-01T18:00:00Z, and no duration, like 10m") from None
        if time.tzinfo is None:
            raise ValueError(f"{display(value)} has no time zone; write {value}Z for UTC")
        return time.timestamp(), False
    try:
        seconds = duration_s(value)
    except ValueError:
        raise ValueError(f"{display(value)} is no time, like 2026-12-01T18:00:00Z, and no duration, like 10m") from None
    if seconds == 0:
        raise ValueError(f"{display(value)} is no time at all; write a duration like 10m")
    return seconds, True


def _canary_key(value: object) -> str:
    if value in ("client-ip", "client_ip"):
        return "client-ip"
    if not isinstance(value, str) or value.partition(":")[0] not in ("cookie", "header"):
        raise ValueError(f"{display(value)} is not one of cookie:NAME, header:NAME, client-ip")
    return str(HASH_KEY.read(value))


_WHEN_JSON: JsonSchema = {"type": "object", "examples": [{"subject": "path", "prefix": "/admin"}, {"all": []}]}
WHEN = Scalar(_condition, _WHEN_JSON)
UNTIL = Scalar(_until, {"type": ["string", "integer"], "examples": ["10m", "2026-12-01T18:00:00Z"]})
CANARY_KEY = Scalar(_canary_key, {"type": "string", "pattern": "^(client[-_]ip|(cookie|header):.+)$"})
