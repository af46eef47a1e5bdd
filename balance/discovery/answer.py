"""What a source reports: that it was told exactly this, or that it could not be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from balance.discovery.endpoint import Endpoint

MAX_WORDS: Final = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """The source said exactly this. No endpoints: it says that there is nobody."""

    endpoints: tuple[Endpoint, ...]
    valid_s: float | None = None  # how long it holds by its own word (a TTL)
    partial: tuple[str, ...] = ()  # what is not in it, and why: a line each, for people
    unasked: frozenset[str] = frozenset()  # parts of the source that could not be asked: their endpoints of the last set stay


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """It could not be asked or understood: nothing is known anew."""

    words: str  # one plain line without secrets

    def __post_init__(self) -> None:
        """It goes into logs: what a stranger's answer has in it must not look like lines of ours."""
        plain = "".join(char if char.isprintable() else "?" for char in self.words)
        object.__setattr__(self, "words", plain if len(plain) <= MAX_WORDS else f"{plain[:MAX_WORDS]}...")


Report = Answer | SourceFailure
