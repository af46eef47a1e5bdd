"""What a relay tells of itself, kept for a test to look at."""

from __future__ import annotations

from balance.model import Why


class Observed:
    """A relay's observer: the bytes that passed each way, and how it ended."""

    def __init__(self) -> None:
        self.bytes = (0, 0)
        self.whys: list[Why] = []

    def moved(self, from_client: int, from_upstream: int) -> None:
        self.bytes = (self.bytes[0] + from_client, self.bytes[1] + from_upstream)

    def ended(self, why: Why) -> None:
        self.whys.append(why)
