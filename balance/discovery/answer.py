"""What a source reports: that it was told exactly this, or that it could not be asked."""

from __future__ import annotations

from dataclasses import dataclass

from balance.discovery.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Answer:
    """The source said exactly this. No endpoints: it says that there is nobody."""

    endpoints: tuple[Endpoint, ...]
    valid_s: float | None = None  # how long it holds by its own word (a TTL)
    partial: tuple[str, ...] = ()  # what could not be asked beside it ("AAAA"): its part of the last answer stays


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """It could not be asked or understood: nothing is known anew."""

    words: str  # one plain line without secrets


Report = Answer | SourceFailure
