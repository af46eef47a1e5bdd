"""How sessions are written in Redis, for other tools to read: keys, values and messages.

A session is a hash under `<prefix>session:<id>`, with a field for each pool that knows it, whose value is the name of its
backend there; the whole key expires. So pools that share a cookie don't mix. The message on `<prefix>moved` is JSON with the
keys `session`, `pool` and `backend`.
"""

from __future__ import annotations

import json
from typing import NamedTuple

MAX_MESSAGE = 4096  # bytes; ours have a few hundred


class Moved(NamedTuple):
    """A session has another backend."""

    session: bytes
    pool: str
    backend: str


class SessionFormat:
    """The names under one prefix."""

    __slots__ = ("_key", "moved_channel")

    def __init__(self, prefix: str) -> None:
        self._key = prefix.encode() + b"session:"
        self.moved_channel = prefix.encode() + b"moved"

    def key(self, session: bytes) -> bytes:
        """The key of a session."""
        return self._key + session


def write_moved(moved: Moved) -> bytes:
    """The message that a session has moved."""
    document = {"session": moved.session.decode("ascii", "replace"), "pool": moved.pool, "backend": moved.backend}
    return json.dumps(document, separators=(",", ":")).encode()


def read_moved(message: bytes) -> Moved | None:
    """What a message says; None for anything else on the channel."""
    if len(message) > MAX_MESSAGE:
        return None
    try:
        document = json.loads(message)
        session, pool, backend = document["session"], document["pool"], document["backend"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not (isinstance(session, str) and isinstance(pool, str) and isinstance(backend, str) and session.isascii()):
        return None
    return Moved(session.encode(), pool, backend)
