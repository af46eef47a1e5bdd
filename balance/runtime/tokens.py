"""Sessions that the client's cookie names: a token per backend, which says nothing to anybody else and can't be guessed.

Stateless: every worker, and every balancer with the same secret, makes the same tokens. One that is none of ours, of another
pool or of a backend that is gone, is as good as no cookie.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

from balance.runtime.backend import Backend

_BYTES: Final = 16  # of the digest: 128 bits


class Tokens:
    """One pool's; `backends` are what they stand for."""

    __slots__ = ("_tokens", "backends")

    def __init__(self, secret: bytes, pool: str, backends: Iterable[Backend]) -> None:
        self.backends = {token_of(secret, pool, backend): backend for backend in backends}
        self._tokens = {backend: token for token, backend in self.backends.items()}

    def token(self, backend: Backend) -> bytes:
        return self._tokens[backend]


def token_of(secret: bytes, pool: str, backend: Backend) -> bytes:
    """22 characters that a cookie's value may have."""
    said = pool.encode() + b"\0" + backend.load.identity  # no name has a NUL
    return urlsafe_b64encode(hmac.digest(secret, said, "sha256")[:_BYTES]).rstrip(b"=")
