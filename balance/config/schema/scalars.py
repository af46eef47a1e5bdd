"""The kinds of single values that a user writes: each reads one value or says what is allowed. Knows no key by name.

Every kind is its own reader and its own piece of JSON Schema, so that what an editor accepts is what is accepted.
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

JsonSchema = dict[str, Any]

VARIABLE: JsonSchema = {"type": "string", "pattern": r"\$\{"}  # an editor can't know what the environment will fill in


@dataclass(frozen=True)
class Scalar:
    """One kind. `read` raises ValueError with the whole message; goes into ``Annotated[T, kind]``."""

    read: Callable[[Any], Any]
    schema: JsonSchema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        if "string" in self.schema.get("type", ()) and not self.schema.keys() & {"enum", "pattern"}:
            return dict(self.schema)
        return {"anyOf": [*self.schema.get("anyOf", [self.schema]), VARIABLE]}


def shown(value: object) -> str:
    """A value as the user wrote it, short enough for a message."""
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
    raise ValueError(f"expected true or false, got {shown(value)}{hint}")


def as_text(value: object) -> str:
    """Text; a whole number is taken as it was written. A float is not: 1.10 would come back as 1.1."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # the value is not quoted: it may be a password
            raise ValueError("the text has half of a character (a lone surrogate), which can't be written as UTF-8") from None
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    hint = f'; put it in quotes: "{shown(value)}"' if isinstance(value, (bool, float)) else ""
    raise ValueError(f"expected text, got {shown(value)}{hint}")


def matching(pattern: str, allowed: str, longest: int = 1000) -> Scalar:
    """Text of that form. `allowed` ends the message ``'x' is not ...``."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        text = as_text(value)
        if len(text) > longest or not compiled.fullmatch(text):
            raise ValueError(f"{shown(text)} is not {allowed}")
        return text

    return Scalar(read, {"type": ["string", "integer"], "maxLength": longest})


def choice(*allowed: str, later: Iterable[str] = (), spellings: dict[str, str] | None = None) -> Scalar:
    """One of a few words, in any case, `_` as good as `-`."""
    later = frozenset(later)

    def read(value: object) -> str:
        if not isinstance(value, str):
            hint = "; put it in quotes" if isinstance(value, bool) else ""
            raise ValueError(f"expected one of {', '.join(allowed)}, got {shown(value)}{hint}")
        word = value.lower().replace("_", "-")
        word = (spellings or {}).get(word, word)
        if word in allowed:
            return word
        if word in later:
            raise ValueError(f"{value!r} is not available in this version; available: {', '.join(allowed)}")
        close = get_close_matches(word, allowed, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{shown(value)} is not one of {', '.join(allowed)}{hint}")

    words = [*allowed, *(word.replace("-", "_") for word in allowed if "-" in word), *(spellings or ())]
    return Scalar(read, {"type": "string", "enum": words})


def _unquote(value: object) -> str:
    """What to do about a number in quotes, which is a text."""
    return "; write it without quotes" if isinstance(value, str) and re.fullmatch(r"-?[0-9.]+", value) else ""


def whole(lowest: int, highest: int) -> Scalar:
    """A whole number within bounds, both included."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected a whole number in {lowest}..{highest}, got {shown(value)}{_unquote(value)}")
        if not lowest <= value <= highest:
            raise ValueError(f"{value} is not in {lowest}..{highest}")
        return value

    return Scalar(read, {"type": "integer", "minimum": lowest, "maximum": highest})


def number(lowest: float, highest: float, or_word: str = "") -> Scalar:
    """A number within bounds, both included; where a word may stand for it, that is None."""

    def read(value: object) -> float | None:
        if or_word and value == or_word:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not lowest <= value <= highest:
            other = f", or {or_word}" if or_word else ""
            raise ValueError(f"expected a number from {lowest:g} to {highest:g}{other}, got {shown(value)}{_unquote(value)}")
        return float(value)

    schema: JsonSchema = {"type": "number", "minimum": lowest, "maximum": highest}
    return Scalar(read, {"anyOf": [{"const": or_word}, schema]} if or_word else schema)


def share(*, or_full: bool = False) -> Scalar:
    """A part of one, from 0 to 1; `full`, where allowed, is None."""
    return number(0, 1, "full" if or_full else "")


def duration(*, or_off: bool = False, or_auto: bool = False) -> Scalar:
    """Seconds. 0 only where it means off; `auto`, where allowed, is None."""

    def read(value: object) -> float | None:
        if or_auto and value == "auto":
            return None
        try:
            seconds = duration_s(value)
        except ValueError as error:
            raise ValueError(f"{error}, or auto" if or_auto else str(error)) from None
        if seconds == 0 and not or_off:
            raise ValueError(f"{shown(value)} is no time at all; write a duration like 500ms or 5s")
        return seconds

    schema: JsonSchema = {"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"type": "integer", "minimum": 0}]}
    if or_auto:
        schema["anyOf"].append({"const": "auto"})
    return Scalar(read, schema)


def count_or_auto(lowest: int, highest: int) -> Scalar:
    """A whole number, or `auto`, which is 0."""
    number = whole(lowest, highest)

    def read(value: object) -> int:
        if value == "auto":
            return 0
        if not isinstance(value, int):
            raise ValueError(f"expected auto or a whole number in {lowest}..{highest}, got {shown(value)}{_unquote(value)}")
        return int(number.read(value))

    return Scalar(read, {"anyOf": [{"const": "auto"}, number.schema]})


def _status_range(value: object) -> tuple[int, int]:
    match = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", as_text(value))
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise ValueError(f"{shown(value)} is not a status or range of statuses, like 200 or 200-299")
    return int(match[1]), int(match[2] or match[1])


def size(lowest: int = 0) -> Scalar:
    """Bytes, at least so many."""

    def read(value: object) -> int:
        count = size_bytes(value)
        if count < lowest:
            raise ValueError(f"{shown(value)} is less than {lowest}B")
        return count

    return Scalar(read, {"anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, {"type": "integer", "minimum": lowest}]})


def _field_value(value: object) -> str:
    # The value is not quoted: it may be a password.
    text = as_text(value)
    if not re.fullmatch(r"[\t -~\x80-\xff]*", text):
        raise ValueError("the value has characters that may not stand in a header field (a line break, say)")
    return text


def _secret(value: object) -> str:
    # One that comes out of a file or a block of YAML ends in a line break, which no other copy of it need have.
    return as_text(value).strip()


def _error_status(value: object) -> int:
    if not re.fullmatch(r"[45][0-9]{2}", as_text(value)):
        raise ValueError(f"{shown(value)} is not a status of an error, 400..599")
    return int(as_text(value))


def failures(words: tuple[str, ...], lowest: int) -> Scalar:
    """A kind of failure by its word, or a final reply's status from `lowest` to 599."""

    def read(value: object) -> str | int:
        text = as_text(value).lower()
        if text in words:
            return text
        if not re.fullmatch(r"[1-5][0-9]{2}", text) or int(text) < lowest:
            raise ValueError(f"{shown(value)} is not {', '.join(words)} or a status from {lowest} to 599")
        return int(text)

    statuses = {"type": "integer", "minimum": lowest, "maximum": 599}
    return Scalar(read, {"anyOf": [{"type": "string", "enum": [*words]}, statuses]})


def _file(value: object) -> str:
    text = as_text(value)
    if not text or not text.isprintable():
        raise ValueError(f"{shown(text)} is not the path of a file")
    return text


def _flag_or_auto(value: object) -> bool | None:
    if value == "auto":
        return None
    if not isinstance(value, bool):
        raise ValueError(f"expected true, false or auto, got {shown(value)}")
    return value


FLAG_OR_AUTO = Scalar(_flag_or_auto, {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["auto"]}]})
FLAG = Scalar(_flag, {"type": "boolean"})
TEXT = Scalar(as_text, {"type": ["string", "integer"]})
SECRET = Scalar(_secret, TEXT.schema)
SIZE = size()
STATUS_RANGE = Scalar(_status_range, {"type": ["integer", "string"], "examples": [200, "200-299"]})
NAME = matching(r"[^\s/\x00-\x1f\x7f]+", "a name; write up to 100 characters without spaces or slashes", 100)
URL_PATH = matching(r"/[!-~]*", "a path; it begins with / and has no spaces", 2000)
METHOD = matching(r"[A-Z][A-Z0-9_-]*", "a method, like GET or HEAD", 64)
# RFC 9110 section 5.1 and 5.5: a token, and no line break that would begin another field.
FIELD_NAME = matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of a header field, like X-Token", 200)
FIELD_VALUE = Scalar(_field_value, {"type": ["string", "integer"]})
ERROR_STATUS = Scalar(_error_status, {"type": "string", "pattern": "^[45][0-9]{2}$"})
RETRY_ON = failures(("connect", "reset", "timeout"), 400)
COUNTED = failures(("connect", "reset", "broken", "timeout"), 500)
FILE = Scalar(_file, {"type": "string", "minLength": 1})
