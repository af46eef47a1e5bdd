"""Who was found to ask: his name, for the access log, and what limits may count him by. Never what a client says unproven."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

MAX_USER: Final = 256  # characters
MAX_CLAIM: Final = 256  # bytes; of a longer one the hash stands for it
_NO_CLAIMS: Final[Mapping[str, bytes]] = {}


class Identity:
    """One user. `claims` are those of his verified token that limits ask for, as bytes that differ where the claims do."""

    __slots__ = ("claims", "user")

    def __init__(self, user: str, claims: Mapping[str, bytes] = _NO_CLAIMS) -> None:
        self.user = user
        self.claims = claims


def claim_key(value: object) -> bytes:
    """A claim as what is counted by; b"" for one that is not there, null or empty. Bounded, whatever the token says."""
    if value is None or value in ("", [], {}):
        return b""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    data = text.encode("utf-8", "surrogatepass")
    return data if len(data) <= MAX_CLAIM else hashlib.blake2b(data, digest_size=32).digest()


def user_name(value: object) -> str:
    """The name in a claim; "" for one that is no name. What can't be printed is escaped where it is written."""
    return str(value)[:MAX_USER] if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
