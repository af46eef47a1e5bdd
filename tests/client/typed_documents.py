"""Whether a document is what a TypedDict says: no key more, none less, and each of its type."""

from __future__ import annotations

from types import UnionType
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict


def mismatches(kind: Any, value: Any, where: str = "") -> list[str]:
    """What differs, with its place; nothing when the document is of that kind."""
    if get_origin(kind) is NotRequired:
        kind = get_args(kind)[0]
    if is_typeddict(kind):
        if not isinstance(value, dict):
            return [f"{where}: no object"]
        hints = get_type_hints(kind, include_extras=True)
        found = [f"{where}.{key}: not in {kind.__name__}" for key in value if key not in hints]
        required = [key for key, hint in hints.items() if get_origin(hint) is not NotRequired]
        found += [f"{where}.{key}: is missing" for key in required if key not in value]
        return found + [each for key in value if key in hints for each in mismatches(hints[key], value[key], f"{where}.{key}")]
    if get_origin(kind) is dict:
        return [each for key, inner in value.items() for each in mismatches(get_args(kind)[1], inner, f"{where}.{key}")]
    if get_origin(kind) is list:
        return [each for index, inner in enumerate(value) for each in mismatches(get_args(kind)[0], inner, f"{where}.{index}")]
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    is_right = any(isinstance(value, (int, float) if each is float else each) for each in kinds)
    is_right = is_right and (bool in kinds or not isinstance(value, bool))
    return [] if is_right else [f"{where}: {value!r} is no {kind}"]
