"""Value types of the schema: each parses one value, or raises ValueError with the allowed values.

Each type has its parser and its JSON Schema, so that editors accept what the parser accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from balance.config.schema.units import DURATION_PATTERN, SIZE_PATTERN, duration_s, size_bytes
from balance.grpc.statuses import RETRIABLE

JsonSchema = dict[str, Any]

VARIABLE: JsonSchema = {"type": "string", "pattern": r"\$\{"}  # a value with a variable


@dataclass(frozen=True)
class Scalar:
    """One value type, for ``Annotated[T, scalar]``. `read` raises ValueError with the complete message."""

    read: Callable[[Any], Any]
    schema: JsonSchema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        if "string" in self.schema.get("type", ()) and not self.schema.keys() & {"enum", "pattern"}:
            return dict(self.schema)
        return {"anyOf": [*self.schema.get("anyOf", [self.schema]), VARIABLE]}


def display(value: object) -> str:
    """A value as it is quoted in messages, at most 100 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("on", "off", "yes", "no", "y", "n"):
        raise ValueError(f"{value!r} is plain text in YAML 1.2; write true or false")
    hint = "; write it without quotes" if value in ("true", "false") else ""
    raise ValueError(f"expected true or false, got {display(value)}{hint}")


def as_text(value: object) -> str:
    """A text or whole number as text. Floats are refused: 1.10 would become 1.1."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # not quoted in the message: it may be a password
            raise ValueError("the text has half of a character (a lone surrogate), which can't be written as UTF-8") from None
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    hint = f'; put it in quotes: "{display(value)}"' if isinstance(value, (bool, float)) else ""
    raise ValueError(f"expected text, got {display(value)}{hint}")


def text_matching(pattern: str, allowed: str, longest: int = 1000) -> Scalar:
    """Text that matches a pattern. `allowed` completes the message ``'x' is not ...``."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        text = as_text(value)
        if len(text) > longest or not compiled.fullmatch(text):
            raise ValueError(f"{display(text)} is not {allowed}")
        return text

    return Scalar(read, {"type": ["string", "integer"], "maxLength": longest})


def choice(
    *allowed: str,
    unsupported: Iterable[str] = (),
    spellings: dict[str, str] | None = None,
    meant: dict[str, str] | None = None,
) -> Scalar:
    """One of several keywords, case-insensitive, with `_` or `-`. `meant`: what others' words for them probably mean."""
    unsupported = frozenset(unsupported)

    def read(value: object) -> str:
        if not isinstance(value, str):
            hint = "; put it in quotes" if isinstance(value, bool) else ""
            raise ValueError(f"expected one of {', '.join(allowed)}, got {display(value)}{hint}")
        keyword = value.lower().replace("_", "-")
        keyword = (spellings or {}).get(keyword, keyword)
        if keyword in allowed:
            return keyword
        if keyword in unsupported:
            raise ValueError(f"{value!r} is not available in this version; available: {', '.join(allowed)}")
        close = (meant or {}).get(keyword) or next(map(repr, get_close_matches(keyword, allowed, 1)), "")
        hint = f"; did you mean {close}?" if close else ""
        raise ValueError(f"{display(value)} is not one of {', '.join(allowed)}{hint}")

    keywords = [*allowed, *(keyword.replace("-", "_") for keyword in allowed if "-" in keyword), *(spellings or ())]
    return Scalar(read, {"type": "string", "enum": keywords})


def _unquote(value: object) -> str:
    """A hint for a number in quotes."""
    return "; write it without quotes" if isinstance(value, str) and re.fullmatch(r"-?[0-9.]+", value) else ""


def integer(lowest: int, highest: int) -> Scalar:
    """A whole number from `lowest` to `highest`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected a whole number in {lowest}..{highest}, got {display(value)}{_unquote(value)}")
        if not lowest <= value <= highest:
            raise ValueError(f"{value} is not in {lowest}..{highest}")
        return value

    return Scalar(read, {"type": "integer", "minimum": lowest, "maximum": highest})


def flag_or_port() -> Scalar:
    """true, false, or a port."""
    port = integer(1, 65535)

    def read(value: object) -> bool | int:
        if isinstance(value, bool):
            return value
        try:
            return int(port.read(value))
        except ValueError:
            raise ValueError(f"expected true, false or a port in 1..65535, got {display(value)}") from None

    return Scalar(read, {"anyOf": [{"type": "boolean"}, port.schema]})


def number(lowest: float, highest: float, or_keyword: str = "") -> Scalar:
    """A number from `lowest` to `highest`; the keyword `or_keyword`, if given, is None."""

    def read(value: object) -> float | None:
        if or_keyword and value == or_keyword:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not lowest <= value <= highest:
            other = f", or {or_keyword}" if or_keyword else ""
            raise ValueError(f"expected a number from {lowest:g} to {highest:g}{other}, got {display(value)}{_unquote(value)}")
        return float(value)

    schema: JsonSchema = {"type": "number", "minimum": lowest, "maximum": highest}
    return Scalar(read, {"anyOf": [{"const": or_keyword}, schema]} if or_keyword else schema)


def fraction(*, or_full: bool = False) -> Scalar:
    """A number from 0 to 1; `full`, where allowed, is None."""
    return number(0, 1, "full" if or_full else "")


def duration(*, or_off: bool = False, or_auto: bool = False) -> Scalar:
    """A duration in seconds. 0 only with `or_off`; `auto`, where allowed, is None."""

    def read(value: object) -> float | None:
        if or_auto and value == "auto":
            return None
        try:
            seconds = duration_s(value)
        except ValueError as error:
            raise ValueError(f"{error}, or auto" if or_auto else str(error)) from None
        if seconds == 0 and not or_off:
            raise ValueError(f"{display(value)} is no time at all; write a duration like 500ms or 5s")
        return seconds

    schema: JsonSchema = {"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"type": "integer", "minimum": 0}]}
    if or_auto:
        schema["anyOf"].append({"const": "auto"})
    return Scalar(read, schema)


def count_or_auto(lowest: int, highest: int) -> Scalar:
    """A whole number, or `auto`, which becomes 0."""
    number = integer(lowest, highest)

    def read(value: object) -> int:
        if value == "auto":
            return 0
        if not isinstance(value, int):
            raise ValueError(f"expected auto or a whole number in {lowest}..{highest}, got {display(value)}{_unquote(value)}")
        return int(number.read(value))

    return Scalar(read, {"anyOf": [{"const": "auto"}, number.schema]})


def _status_range(value: object) -> tuple[int, int]:
    match = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", as_text(value))
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise ValueError(f"{display(value)} is not a status or range of statuses, like 200 or 200-299")
    return int(match[1]), int(match[2] or match[1])


def size(lowest: int = 0) -> Scalar:
    """A size in bytes, at least `lowest`."""

    def read(value: object) -> int:
        count = size_bytes(value)
        if count < lowest:
            raise ValueError(f"{display(value)} is less than {lowest}B")
        return count

    return Scalar(read, {"anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": lowest}]})


def _field_value(value: object) -> str:
    # The message does not quote the value: it may be a password.
    text = as_text(value)
    if not re.fullmatch(r"[\t -~\x80-\xff]*", text):
        raise ValueError("the value has characters that may not stand in a header field (a line break, say)")
    return text


def secret_text(value: object) -> str:
    """A secret as text; an error does not show it."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("is no text; write it in quotes")
    # A secret from a file or a YAML block often ends in a line break; instances that share it must agree.
    return as_text(value).strip()


def _error_status(value: object) -> int:
    if not re.fullmatch(r"[45][0-9]{2}", as_text(value)):
        raise ValueError(f"{display(value)} is not a status of an error, 400..599")
    return int(as_text(value))


def failure_kinds(keywords: tuple[str, ...], lowest: int) -> Scalar:
    """A kind of failure from `keywords`, or a status from `lowest` to 599."""

    def read(value: object) -> str | int:
        text = as_text(value).lower()
        if text in keywords:
            return text
        if not re.fullmatch(r"[1-5][0-9]{2}", text) or int(text) < lowest:
            raise ValueError(f"{display(value)} is not {', '.join(keywords)} or a status from {lowest} to 599")
        return int(text)

    statuses = {"type": "integer", "minimum": lowest, "maximum": 599}
    return Scalar(read, {"anyOf": [{"type": "string", "enum": [*keywords]}, statuses]})


def _file(value: object) -> str:
    text = as_text(value)
    if not text or not text.isprintable():
        raise ValueError(f"{display(text)} is not the path of a file")
    return text


def _flag_or_auto(value: object) -> bool | None:
    if value == "auto":
        return None
    if not isinstance(value, bool):
        raise ValueError(f"expected true, false or auto, got {display(value)}")
    return value


FLAG_OR_AUTO = Scalar(_flag_or_auto, {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["auto"]}]})
FLAG = Scalar(_flag, {"type": "boolean"})
TEXT = Scalar(as_text, {"type": ["string", "integer"]})
SECRET = Scalar(secret_text, TEXT.schema)
SIZE = size()
STATUS_RANGE = Scalar(_status_range, {"type": ["integer", "string"], "examples": [200, "200-299"]})
NAME = text_matching(r"[^\s/\x00-\x1f\x7f]+", "a name; write up to 100 characters without spaces or slashes", 100)
REGION = text_matching(r"[^\s/\x00-\x1f\x7f]*", "a region; write up to 100 characters without spaces or slashes", 100)
URL_PATH = text_matching(r"/[!-~]*", "a path; it begins with / and has no spaces", 2000)
METHOD = text_matching(r"[A-Z][A-Z0-9_-]*", "a method, like GET or HEAD", 64)
# RFC 9110 sections 5.1 and 5.5: a name is a token; a value has no line break.
FIELD_NAME = text_matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of a header field, like X-Token", 200)
FIELD_VALUE = Scalar(_field_value, {"type": ["string", "integer"]})
ERROR_STATUS = Scalar(_error_status, {"type": "string", "pattern": "^[45][0-9]{2}$"})
RETRY_ON = failure_kinds(("connect", "reset", "timeout", *RETRIABLE), 400)
PASSIVE_CHECK_COUNT = failure_kinds(("connect", "reset", "broken", "timeout"), 500)
FILE = Scalar(_file, {"type": "string", "minLength": 1})
