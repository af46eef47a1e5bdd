"""What pools know of the store that several machines share: a protocol, so that nothing here knows of sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol


class Found(NamedTuple):
    """A session that the store knows."""

    session: bytes
    backend: str  # its name in the pool that asks; empty when only other pools know the session
    expires_in_s: float


Answer = Found | None  # None: it knows none of the sessions asked for
NO_ANSWER: Final = Found(b"", "", -1.0)  # the store can't be used, or did not answer in time


class SessionStore(Protocol):
    """Sessions that all machines know. Nothing waits but look_up(), which is bounded."""

    @property
    def is_up(self) -> bool:
        """Whether it can be asked."""
        ...

    @property
    def takes_writes(self) -> bool:
        """Whether what is kept now arrives there, as far as is known."""
        ...

    @property
    def denies(self) -> bool:
        """Whether who would need the store while it can't be used is refused."""
        ...

    @property
    def flushed_at(self) -> float:
        """What was learned before this monotonic time may have changed unnoticed."""
        ...

    def look_up(self, sessions: Sequence[bytes], pool: str, answer: Callable[[Answer], None]) -> None:
        """Call `answer` once and soon, not from within: with the first session that is known, None, or NO_ANSWER."""
        ...

    def keep(self, session: bytes, pool: str, backend: str, ttl_s: float, *, is_moved: bool) -> None:
        """Write it in the background. `is_moved`: tell the other machines."""
        ...

    def extend(self, session: bytes, ttl_s: float) -> None:
        """Let it live for so long from now."""
        ...
