"""Reads JSON of strangers: whatever it is, the result is a value or a ValueError with one plain line."""

from __future__ import annotations

import json
from typing import Any


def read_json(data: bytes) -> Any:
    """The document. ValueError when it is none, or not all of one."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("its answer is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("its answer is not UTF-8") from None
    except ValueError as error:
        place = getattr(error, "pos", 0)
        if isinstance(error, json.JSONDecodeError) and place >= len(data.rstrip()) - 1:
            raise ValueError("its answer breaks off: the JSON has no end") from None
        raise ValueError(f"its answer is not JSON (at byte {place})") from None


def text_of(value: object) -> str:
    """The text; "" for whatever else it is."""
    return value if isinstance(value, str) else ""


def dict_of(value: object) -> dict[str, Any]:
    """The object; an empty one for whatever else it is."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """The list; an empty one for whatever else it is, null among it."""
    return value if isinstance(value, list) else []


def printable(text: str, limit: int = 200) -> str:
    """In one line of a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
