"""Parses and formats durations (`500ms`, `1m30s`) in seconds and sizes (`64KB`) in bytes."""

from __future__ import annotations

import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}

DURATION_PATTERN = r"^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+)$"
SIZE_PATTERN = r"^(0|[0-9]+(\.[0-9]+)? ?([KkMmGg][Ii]?)?[Bb])$"

LONGEST_S = 366 * 86400.0
LARGEST_BYTES = 1024**4

_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([kmg]?i?b)", re.IGNORECASE)


def duration_s(value: object) -> float:
    """The duration in seconds. A bare whole number is seconds. ValueError quotes the value."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"{value} is negative; a duration is like 500ms, 5s, 1m30s or 1h")
        seconds = float(value)
    elif isinstance(value, str):
        seconds = _sum_of_parts(value)
    else:
        raise ValueError(f"{value!r} is not a duration; write one like 500ms, 5s, 1m30s or 1h")
    if seconds > LONGEST_S:
        raise ValueError(f"{value!r} is longer than 366d")
    return seconds


def _sum_of_parts(text: str) -> float:
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write one like 500ms, 5s, 1m30s or 1h")
    # Rounded, so that no floating-point error (0.1 + 0.2) appears in messages.
    return round(sum(float(number) * SECONDS[unit] for number, unit in parts), 6)


def size_bytes(value: object) -> int:
    """The size in bytes. A bare whole number is bytes; KB and KiB are both 1024, as in nginx. ValueError quotes the value."""
    if isinstance(value, int) and not isinstance(value, bool):
        count = value
        if count < 0:
            raise ValueError(f"{value} is negative; a size is like 512B, 64KB or 10MB")
    elif isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None and value != "0":
            raise ValueError(f"{value!r} is not a size; write one like 512B, 64KB or 10MB")
        count = int(float(match[1]) * BYTES[match[2].lower()]) if match else 0
    else:
        raise ValueError(f"{value!r} is not a size; write one like 512B, 64KB or 10MB")
    if count > LARGEST_BYTES:
        raise ValueError(f"{value!r} is larger than 1024GB")
    return count


def format_duration(seconds: float) -> str:
    """The shortest text for a duration: 90 is ``1m30s``."""
    left_ms = round(seconds * 1000)
    if left_ms == 0:
        return "0"
    text = ""
    for unit, unit_ms in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left_ms = divmod(left_ms, unit_ms)
        text += f"{count}{unit}" if count else ""
    return text
