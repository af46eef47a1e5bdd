"""Bounds what the encoders of one worker take in all. Above it replies go on as they are, as with HAProxy's `maxzlibmem`."""

from __future__ import annotations

from typing import Final

# Bytes: some 200 streams of zstd or brotli, 850 of gzip, at their default levels. Only replies that are not complete at once
# stay open: long downloads, event streams, and what slow clients read.
WORKER_LIMIT: Final = 256 * 1024 * 1024


class StreamMemory:
    """What is in use. An estimate: each stream counts with what its encoder takes at most."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = WORKER_LIMIT) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Whether a stream of this size may open; if so, it is counted."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Such a stream has ended."""
        self.used -= size


WORKER: Final = StreamMemory()
