"""Value types of routes: hosts, paths, regular expressions, and conditions on header fields, query parameters and cookies."""

from __future__ import annotations

import re
from urllib.parse import unquote

from balance import linear_regex
from balance.config.route_model import ValueMatch
from balance.config.schema.scalars import FIELD_NAME, JsonSchema, Scalar, as_text, display, text_matching
from balance.config.schema.values.inner_error import InnerError
from balance.host_names import normalize_host

_LABELS = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_IPV6 = re.compile(r"\[[0-9a-f:.]{2,45}\]")
_UNRESERVED = re.compile(r"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")  # RFC 3986 section 2.3


def host_name(text: str) -> str:
    """A host in the form in which hosts are compared; ValueError when it can't be one."""
    if "/" in text or "@" in text:
        raise ValueError(f"{display(text)} is no host; write the name alone, like shop.example.org")
    name = normalize_host(text)
    if not name.isascii():
        try:  # what clients send for it
            name = name.encode("idna").decode()
        except UnicodeError as error:
            raise ValueError(f"{display(text)} is no host that clients can ask for: {error}") from None
    if not _LABELS.fullmatch(name) and not _IPV6.fullmatch(name):
        raise ValueError(f"{display(text)} is no host, like shop.example.org, *.example.org, 192.0.2.1 or [2001:db8::1]")
    return name


def _host_pattern(value: object) -> str:
    text = as_text(value)
    if text == "*":
        return ""
    wildcard, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if "*" in rest:
        raise ValueError(f"{display(text)}: a * stands only at the beginning and before a dot, as in *.example.org")
    return wildcard + host_name(rest)


def _path(value: object) -> str:
    text = as_text(value)
    if not text.startswith("/"):
        raise ValueError(f"{display(text)} is not a path; it begins with /")
    if "?" in text or "#" in text:
        raise ValueError(f"{display(text)}: a path has no ? or #; conditions on the query are written query: {{name: value}}")
    if not re.fullmatch(r"[!-~]{1,2000}", text):
        raise ValueError(f"{display(text)} is not as clients send it: without spaces, and other characters as %C3%BC")
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError(f"{display(text)}: a % stands before two hexadecimal digits; itself it is %25")
    if _UNRESERVED.search(text):
        plain = _UNRESERVED.sub(lambda match: unquote(match[0]), text)
        raise ValueError(f"{display(text)} is compared decoded; write {plain}")
    if "//" in text or re.search(r"/\.{1,2}(/|\Z)", text):
        raise ValueError(f"{display(text)} has //, /. or /.., which requests are read without (http.normalize)")
    return text


def _prefix(value: object) -> str:
    text = _path(value)
    return text.rstrip("/") or "/"


def _changed_prefix(value: object) -> str:
    return "" if value == "" else _path(value).rstrip("/")


def _regex(value: object) -> str:
    text = as_text(value)
    linear_regex.compile(text)
    return text


_CONDITION_HINT = "write a text, or {present: true}, {present: false}, {regex: ...} or {prefix: ...}"


def value_condition(value: object) -> tuple[str, str]:
    """The operator and the value of a condition; ValueError when it is none."""
    if not isinstance(value, dict):
        if value is None or isinstance(value, (list, bool)):
            raise ValueError(f"expected a condition, got {display(value)}; {_CONDITION_HINT}")
        return "equals", as_text(value)
    if len(value) != 1 or not value.keys() <= {"present", "regex", "prefix", "equals"}:
        raise ValueError(f"{', '.join(map(str, value)) or 'nothing'} is no condition; {_CONDITION_HINT}")
    ((operator, inner),) = value.items()
    try:
        if operator == "present":
            if not isinstance(inner, bool):
                raise ValueError(f"expected true or false, got {display(inner)}")
            return ("present" if inner else "absent"), ""
        text = _regex(inner) if operator == "regex" else as_text(inner)
    except ValueError as error:
        raise InnerError(str(error), operator) from None
    return operator, text


def named_condition(value: object, names: Scalar) -> ValueMatch:
    """A name alone, which has to be there, or {name, value}, where the value is a condition."""
    if isinstance(value, str):
        return ValueMatch(names.read(value), "present")
    if not isinstance(value, dict) or "name" not in value or not value.keys() <= {"name", "value"}:
        raise ValueError(f"expected a name, or {{name: ..., value: ...}}, got {display(value)}")
    try:
        name = names.read(value["name"])
    except ValueError as error:
        raise InnerError(str(error), "name") from None
    if "value" not in value:
        return ValueMatch(name, "present")
    try:
        return ValueMatch(name, *value_condition(value["value"]))
    except ValueError as error:
        raise InnerError(str(error), "value", *getattr(error, "path", ())) from None


def _field_name(value: object) -> str:
    name: str = FIELD_NAME.read(value)
    return name.lower()


def _of_values(value: object) -> ValueMatch:
    return named_condition(value, LOWER_FIELD_NAME)


def _of_cookies(value: object) -> ValueMatch:
    return named_condition(value, COOKIE_NAME)


_PATH_JSON: JsonSchema = {"type": "string", "pattern": "^/"}
_VALUE_JSON: JsonSchema = {
    "anyOf": [
        {"type": ["string", "number"]},
        {"type": "object", "properties": {"present": {"type": "boolean"}}, "additionalProperties": False},
        {"type": "object", "properties": {"regex": {"type": "string"}}, "additionalProperties": False},
        {"type": "object", "properties": {"prefix": {"type": "string"}}, "additionalProperties": False},
    ]
}
_NAMED_JSON: JsonSchema = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "value": _VALUE_JSON},
            "required": ["name"],
            "additionalProperties": False,
        },
    ]
}

HOST_PATTERN = Scalar(_host_pattern, {"type": "string", "examples": ["shop.example.org", "*.example.org"]})
PATH = Scalar(_path, _PATH_JSON)
PATH_PREFIX = Scalar(_prefix, _PATH_JSON)
CHANGED_PREFIX = Scalar(_changed_prefix, {"type": "string", "pattern": "^(/|$)"})
REGEX = Scalar(_regex, {"type": "string", "format": "regex"})
LOWER_FIELD_NAME = Scalar(_field_name, FIELD_NAME.schema)
COOKIE_NAME = text_matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of a cookie", 200)
QUERY_NAME = text_matching(r"[^\x00-\x1f&=]+", "the name of a query parameter, decoded and without & and =", 200)
VALUE_CONDITION = Scalar(value_condition, _VALUE_JSON)
HEADER_CONDITION = Scalar(_of_values, _NAMED_JSON)
COOKIE_CONDITION = Scalar(_of_cookies, _NAMED_JSON)
