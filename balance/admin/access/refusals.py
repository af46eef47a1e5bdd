"""Why requests to the admin port are refused, as the metrics tell it."""

from __future__ import annotations

import enum

from starlette.exceptions import HTTPException


class AdminRefusal(enum.IntEnum):
    """The numbers are cells of shared memory, so append only."""

    BAD_REQUEST = 0  # a token in the address, several Authorization fields
    NO_TOKEN = 1
    WRONG_TOKEN = 2
    TOO_MANY_GUESSES = 3
    READ_ONLY_TOKEN = 4  # an order with a token that may read alone
    FORBIDDEN = 5  # a page of others, a proxy, an address that is not local

    @property
    def word(self) -> str:
        """The value of the label."""
        return self.name.lower()


def refusal_of(error: HTTPException) -> AdminRefusal:
    """What an error of the gate is."""
    challenge = (error.headers or {}).get("WWW-Authenticate", "")
    match error.status_code:
        case 400:
            return AdminRefusal.BAD_REQUEST
        case 401:
            return AdminRefusal.WRONG_TOKEN if "invalid_token" in challenge else AdminRefusal.NO_TOKEN
        case 429:
            return AdminRefusal.TOO_MANY_GUESSES
        case _:
            return AdminRefusal.READ_ONLY_TOKEN if "insufficient_scope" in challenge else AdminRefusal.FORBIDDEN
