"""What a request says of its session, and what was found out about it on the way to a lease."""

from __future__ import annotations

from typing import final

from balance.runtime.backend import Backend


@final
class SessionLookup:
    """Passed to a pool with affinity instead of a key: the policy's key of one request, and its session."""

    __slots__ = ("bound", "is_asked", "is_elsewhere", "is_foreign", "is_known", "is_moved", "key", "session")

    def __init__(self, key: bytes, session: bytes) -> None:
        self.key = key
        self.session = session
        self.is_known = False  # the request has a session that this pool knows
        self.is_moved = True  # the session is new, or can't stay at its backend
        # Of sessions that machines share (shared_sessions)
        self.is_asked = False  # what is known of the session was found
        self.bound: Backend | None = None  # its backend, as was found
        self.is_elsewhere = False  # only other pools know it so far
        self.is_foreign = False  # not known here while the store can't be used: it keeps its cookie, and is not remembered

    @classmethod
    def unmoved(cls) -> SessionLookup:
        """A lookup whose session stays at its backend."""
        lookup = cls(b"", b"")
        lookup.is_known, lookup.is_moved = True, False
        return lookup
