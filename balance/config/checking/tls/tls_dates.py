"""When to warn that a certificate ends: from 30 days before, more urgently from 7, and when it has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

DAY_S: Final = 86400.0
WARN_DAYS: Final = (7, 30)


class ExpiryWarning(NamedTuple):
    """`days` is the limit that was passed, 0 for the end itself."""

    days: int
    message: str


def expiry_warning(file: str, not_after: float, now: float, then: str = "clients refuse it") -> ExpiryWarning | None:
    """None while there is time. Times are seconds since the epoch; `then` says what an end leads to."""
    if not_after <= now:
        return ExpiryWarning(0, f"{file!r} has expired on {date(not_after)}: {then}")
    for days in WARN_DAYS:
        if not_after <= now + days * DAY_S:
            left = int((not_after - now) / DAY_S)
            return ExpiryWarning(days, f"{file!r} expires on {date(not_after)}, in {left} day{'' if left == 1 else 's'}")
    return None


def ended_list(file: str, issuer: str, next_update: float) -> str:
    """What is said of a revocation list that has ended."""
    return (
        f"{file!r}: the list of {issuer!r} has ended on {date(next_update)}: its clients are refused until there is a newer one"
    )


def date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
