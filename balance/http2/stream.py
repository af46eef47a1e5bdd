"""One stream of a connection: what its two ends have said, and what may be sent (RFC 9113 section 5)."""

from __future__ import annotations

from typing import Final

from balance.http2.message_fields import NO_LENGTH

URGENCY: Final = 3  # where a request says nothing (RFC 9218 section 4.1)


class Stream:
    """Made by its session; `owner` is whoever serves it."""

    __slots__ = (
        "began_at", "credit", "debt", "ends_after_held", "has_fixed_length", "has_head", "held", "held_at", "held_bytes",
        "held_trailers", "id", "interims", "is_reset", "is_waiting",
        "length", "local_ended", "owner", "received", "remote_ended", "urgency", "window",
    )  # fmt: skip

    def __init__(self, stream_id: int, window: int, credit: int, now: float) -> None:
        self.id = stream_id
        self.began_at = now
        self.window = window  # bytes that we may send; less than 0 after a change of settings
        self.credit = credit  # bytes that the peer may send
        self.debt = 0  # bytes that were taken, and for which the peer has no new credit yet
        self.has_head = False  # of the peer's message; what follows are trailers
        self.interims = 0  # interim responses that came
        self.length = NO_LENGTH  # of the peer's content, where its head says so
        self.has_fixed_length = False  # a message without content, whatever its content-length says: to HEAD, 204, 304
        self.received = 0  # bytes of it, without padding
        self.remote_ended = False
        self.local_ended = False
        self.is_reset = False  # by either end; nothing more is sent or told
        self.held: list[bytes] = []  # what waits for room in a window
        self.held_at = 0  # bytes of the first of it that are sent
        self.held_bytes = 0
        self.held_trailers = b""  # a block that follows them
        self.ends_after_held = False
        self.is_waiting = False  # stands in its session's queue
        self.urgency = URGENCY
        self.owner: object = None

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes or goes."""
        return self.is_reset or (self.remote_ended and self.local_ended)
