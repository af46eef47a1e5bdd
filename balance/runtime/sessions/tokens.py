"""Tokens of session cookies: one for each backend, which does not reveal the backend and can't be guessed.

Stateless: every worker, and every instance with the same secret, makes the same tokens. An unknown token, or one of another
pool or of a removed backend, is treated as no cookie.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

from balance.runtime.backend import Backend

_BYTES: Final = 16  # of the digest: 128 bits


class Tokens:
    """The tokens of one pool's backends; `backends` maps tokens to backends."""

    __slots__ = ("_tokens", "backends")

    def __init__(self, secret: bytes, pool: str, backends: Iterable[Backend]) -> None:
        self.backends = {token_of(secret, pool, backend): backend for backend in backends}
        self._tokens = {backend: token for token, backend in self.backends.items()}

    def token(self, backend: Backend) -> bytes:
        return self._tokens[backend]


def token_of(secret: bytes, pool: str, backend: Backend) -> bytes:
    """The token of a backend: HMAC-SHA256 cut to 128 bits, as 22 characters that are valid in a cookie's value."""
    said = pool.encode() + b"\0" + backend.load.identity  # names have no NUL, so this is unambiguous
    return urlsafe_b64encode(hmac.digest(secret, said, "sha256")[:_BYTES]).rstrip(b"=")
