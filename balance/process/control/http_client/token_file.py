"""A file with a secret of one line that somebody else renews: read again each minute, and at once when the server refuses it.

Kubernetes renews the tokens of service accounts about hourly, in the file alone (kubernetes-client/python#1768).
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable
from typing import Final, TypeVar

from balance.process.control.http_client.client import ClientError

REREAD_S: Final = 60.0
READ_S: Final = 10.0
MAX_BYTES: Final = 1024 * 1024
Read = TypeVar("Read")


def read_bounded(path: str, what: str) -> bytes:
    """The content of a small file; blocks. ClientError."""
    try:
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ClientError(f"{what} {path!r} is no file")
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClientError(f"{what} {path!r} can't be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise ClientError(f"{what} {path!r} is longer than 1 MB")
    return content


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO that nobody writes would hold the thread for ever


async def read_apart(read: Callable[[], Read]) -> Read:
    """What a function reads that blocks, from a thread. ClientError, also when a file system says nothing."""
    try:
        async with asyncio.timeout(READ_S):
            return await asyncio.get_running_loop().run_in_executor(None, read)
    except TimeoutError:
        raise ClientError(f"its files can't be read within {READ_S:g}s") from None


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
