"""From JSON objects to dataclasses by their annotations. What a class does not know is left aside, what it needs must be there.

Annotations: str, int, float, bool, datetime, dict, Any, another dataclass, `tuple[X, ...]`, `X | None`. A field `document`
gets the whole object as it came.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from balance.client.errors import BadReplyError

T = TypeVar("T")
Convert = Callable[[Any, str], Any]
WHOLE = "document"


class _Field(NamedTuple):
    name: str
    key: str  # in JSON
    convert: Convert
    is_required: bool


def decode(kind: type[T], value: Any, where: str, whole: dict[str, Any] | None = None) -> T:
    """`where` is for the message of a BadReplyError: a path, and the key below it. `whole` is what `document` gets, if not
    `value`."""
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    given: dict[str, Any] = {}
    for field in _fields(kind):
        if field.name == WHOLE:
            given[WHOLE] = value if whole is None else whole
        elif field.key in value:
            given[field.name] = field.convert(value[field.key], f"{where}: {field.key}")
        elif field.is_required:
            raise BadReplyError(f"{where}: the reply has no {field.key!r}; is it of another version?")
    return kind(**given)


def decode_each(kind: type[T], value: Any, where: str) -> tuple[T, ...]:
    """A list of objects."""
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    return tuple(decode(kind, each, f"{where}[{index}]") for index, each in enumerate(value))


def _wrong(where: str, expected: str, value: Any) -> BadReplyError:
    return BadReplyError(f"{where}: {expected} should be there, not {repr(value)[:60]}")


_KNOWN: dict[type[Any], tuple[_Field, ...]] = {}


def _fields(kind: type[Any]) -> tuple[_Field, ...]:
    if kind in _KNOWN:
        return _KNOWN[kind]
    hints = get_type_hints(kind)
    found = _KNOWN[kind] = tuple(
        _Field(
            each.name,
            each.metadata.get("key", each.name),
            _converter(hints[each.name]),
            each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING,
        )
        for each in dataclasses.fields(kind)
    )
    return found


def _converter(hint: Any) -> Convert:
    if hint is Any:
        return lambda value, where: value
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (each for each in get_args(hint) if each is not type(None))
        convert = _converter(inner)
        return lambda value, where: None if value is None else convert(value, where)
    if get_origin(hint) is tuple:
        return _each(_converter(get_args(hint)[0]))
    if get_origin(hint) is Literal:
        return _converter(str)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return lambda value, where: decode(hint, value, where)
    if hint is datetime:
        return _time
    return _plain(get_origin(hint) or hint)


def _each(convert: Convert) -> Convert:
    def converted(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(convert(each, f"{where}[{index}]") for index, each in enumerate(value))

    return converted


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object"}


def _plain(kind: type) -> Convert:
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)

    def converted(value: Any, where: str) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise _wrong(where, _WORDS[kind], value)
        return value

    return converted


def _time(value: Any, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong(where, "a time", value) from None
