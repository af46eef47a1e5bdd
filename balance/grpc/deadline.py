"""`grpc-timeout`: how long the caller waits for the end of a call (PROTOCOL-HTTP2: at most 8 digits and a unit)."""

from __future__ import annotations

from typing import Final

_UNITS: Final[dict[bytes, float]] = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MOST: Final = 99_999_999
UNREADABLE: Final = -1.0


def read_timeout_s(value: bytes) -> float:
    """The seconds of a `grpc-timeout`; UNREADABLE for what is none."""
    digits = value[:-1]
    unit = _UNITS.get(value[-1:])
    if unit is None or not 1 <= len(digits) <= 8 or not digits.isdigit():
        return UNREADABLE
    return int(digits) * unit


def timeout_value(seconds: float) -> bytes:
    """The value that says `seconds`, rounded down, as exactly as 8 digits can; at least a nanosecond."""
    microseconds = int(seconds * 1e6)
    if microseconds <= 0:
        return b"1n"
    if microseconds <= _MOST:
        return b"%du" % microseconds
    if microseconds // 1000 <= _MOST:
        return b"%dm" % (microseconds // 1000)
    return b"%dS" % min(microseconds // 1_000_000, _MOST)
