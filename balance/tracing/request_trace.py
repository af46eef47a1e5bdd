"""The trace of one request: its ids, the lines that tell backends of it, and, where it is sampled, what its spans have."""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.tracing.span_context import SpanContext

MAX_EVENTS: Final = 32  # of one span; what is beyond them is counted


class FinishedTry(NamedTuple):
    """One try at a backend. Times are seconds on the monotonic clock."""

    span_id: bytes
    pool: str
    backend: str
    host: str  # the backend's
    port: int
    url: str  # that was asked for, without the query
    began: float
    ended: float
    status: int  # of its reply; 0 without one
    error: str  # why it failed; "" where it did not


class Event(NamedTuple):
    """Something that happened during the request. `at` is in seconds on the monotonic clock."""

    at: float
    name: str
    attributes: tuple[tuple[str, str | int], ...]


class SampledPart:
    """What only a sampled request has."""

    __slots__ = ("events", "events_lost", "flags", "link", "parent_id", "state", "tries", "try_id")

    def __init__(self, try_id: bytes, flags: int, parent_id: bytes, state: bytes, link: SpanContext | None) -> None:
        self.try_id = try_id  # the span of the try that is under way, which the lines to the backend name
        self.flags = flags
        self.parent_id = parent_id  # b"" where the trace begins here
        self.state = state
        self.link = link  # of a caller whose trace is not gone on with
        self.tries: list[FinishedTry] = []
        self.events: list[Event] = []
        self.events_lost = 0

    def happened(self, at: float, name: str, *attributes: tuple[str, str | int]) -> None:
        """Note an event."""
        if len(self.events) < MAX_EVENTS:
            self.events.append(Event(at, name, attributes))
        else:
            self.events_lost += 1


class RequestTrace:
    """One for each request while tracing is on. Ids are in lower-case hexadecimal digits."""

    __slots__ = ("ids", "lines", "sampled")

    def __init__(self, ids: bytes, lines: bytes, sampled: SampledPart | None = None) -> None:
        self.ids = ids  # those of the trace and of the span, with a `-` between them
        self.lines = lines  # the field lines for the backend
        self.sampled = sampled

    @property
    def trace_id(self) -> bytes:
        return self.ids[:32]

    @property
    def span_id(self) -> bytes:
        """That of the server span; where the request is not sampled, what backends are told."""
        return self.ids[33:]

    @property
    def is_sampled(self) -> bool:
        return self.sampled is not None
