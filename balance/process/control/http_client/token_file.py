"""A file with a secret of one line that somebody else renews: read again each minute, and at once when the server refuses it.

Kubernetes renews the tokens of service accounts about hourly, in the file alone (kubernetes-client/python#1768).
"""

from __future__ import annotations

import time
from typing import Final

from balance.process.control.http_client.client import ClientError

REREAD_S: Final = 60.0
MAX_BYTES: Final = 1024 * 1024


def read_bounded(path: str, what: str) -> bytes:
    """The content of a small file; blocks. ClientError."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClientError(f"{what} {path!r} can't be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise ClientError(f"{what} {path!r} is longer than 1 MB")
    return content


def read_token(path: str) -> str:
    """The token in a file; blocks. ClientError, which quotes nothing of it."""
    content = read_bounded(path, "the token's file").strip()
    if not content:
        raise ClientError(f"the token's file {path!r} is empty")
    if not content.isascii() or not content.decode().isprintable() or b" " in content:
        raise ClientError(f"the token's file {path!r} has characters that a token can't have")
    return content.decode()


class Reread:
    """When something that was read is to be read again."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = 0.0

    def is_due(self) -> bool:
        """Whether it is; from now on it is not, for a minute."""
        now = time.monotonic()
        if now < self._at:
            return False
        self._at = now + REREAD_S
        return True

    def forget(self) -> None:
        """It is due at once."""
        self._at = 0.0
