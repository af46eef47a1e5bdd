"""Limiters on a clock that stands still until a test moves it, in workers that share a table."""

from __future__ import annotations

from balance.rate_limiting.bucket_table import CELL_BYTES, BucketTable, table_cells
from balance.rate_limiting.limiter import SharedLimiter
from balance.rate_limiting.sliding_window import SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket

START = 100_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def tables(workers: int) -> list[BucketTable]:
    """The same table, as each worker sees it."""
    memory = memoryview(bytearray(CELL_BYTES * table_cells(workers)))
    rows = memoryview(bytes([workers]))
    return [BucketTable(memory, rows, own, b"secret") for own in range(workers)]


def bucket(clock: Clock, table: BucketTable, rate: float = 1.0, burst: int = 5, name: str = "r") -> TokenBucket:
    return TokenBucket(table, name, rate, burst, clock)


def window(clock: Clock, table: BucketTable, most: int = 5, window_s: float = 10.0, name: str = "r") -> SlidingWindow:
    return SlidingWindow(table, name, most, window_s, clock)


def admitted(limiter: SharedLimiter | TokenBucket | SlidingWindow, times: int, key: bytes = b"k") -> int:
    """How many of so many requests are."""
    assert isinstance(limiter, (TokenBucket, SlidingWindow))
    return sum(limiter.admit(key) for _ in range(times))
