"""Keeps the last readings of the counters, and ten minutes of totals for charts, whether somebody looks or not.

That costs a reading each STEP_S; while the dashboard is open its feed takes one each second instead. The rings have a fixed
size, and a counter that goes down (a slot got another owner) counts as one that did not move.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from balance.admin.dashboard.state.reading import Reading, SeriesReader, quantile, read, rounded
from balance.runtime import counters

STEP_S = 2.0
CHART_S = 600.0
WINDOW_S = 12.0  # of readings; rates and percentiles are over parts of it
COLUMNS = (
    "requests", "errors_4xx", "errors_5xx", "sessions", "p50_seconds", "p90_seconds", "p99_seconds", "active_requests",
    "active_connections", "bytes_in", "bytes_out",
)  # fmt: skip


class Memory(Protocol):
    """The shared memory, as far as it is read here."""

    @property
    def rows(self) -> Sequence[memoryview]: ...
    @property
    def slots(self) -> int: ...
    @property
    def time_buckets_us(self) -> tuple[int, ...]: ...
    def set_last_hit(self, slot: int, at: float) -> None: ...


class Sample(NamedTuple):
    """A reading with the requests by series at the time."""

    reading: Reading
    series: dict[int, int]
    failures: dict[int, int]  # tries that failed, likewise
    at: float  # seconds since the epoch

    @property
    def mono(self) -> float:
        return self.reading.at


class Recorder:
    """See the module. `samples` are the latest, oldest first."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.series = SeriesReader()
        self.samples: deque[Sample] = deque()
        self._chart: deque[tuple[float, ...]] = deque(maxlen=int(CHART_S / STEP_S))  # time and COLUMNS; -1: unknown
        self._chart_from: Sample | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Record from now on."""
        if not self.samples or time.monotonic() - self.samples[-1].mono > 0.75 * STEP_S:
            self.take(time.time(), time.monotonic())
        loop.call_later(STEP_S, self.start, loop)

    def take(self, now: float, mono: float) -> Sample:
        """Take a reading now. `now` is wall clock time, `mono` monotonic."""
        rows = self._memory.rows
        sample = Sample(read(rows, self._memory.slots, mono), *self.series.read(rows), now)
        if self.samples:
            self._mark_hits(self.samples[-1], sample)
        self.samples.append(sample)
        while mono - self.samples[0].mono > WINDOW_S:
            self.samples.popleft()
        before = self._chart_from
        if before is None:
            self._chart_from = sample
        elif mono - before.mono > 0.75 * STEP_S:
            self._chart_from = sample
            self._chart.append(self._totals(before, sample))
        return sample

    def before(self, seconds: float) -> Sample:
        """The oldest sample that is not older than `seconds` before the latest one, with half a second of grace; there must be
        one sample.
        """
        latest = self.samples[-1]
        for sample in self.samples:
            if latest.mono - sample.mono <= seconds + 0.5:
                return sample
        return latest

    def chart(self) -> dict[str, Any]:
        """The ten minutes, as columns; what is unknown at a time is null there."""
        rows = list(self._chart)
        columns = {
            name: [None if row[index] < 0 else row[index] for row in rows] for index, name in enumerate(COLUMNS, start=1)
        }
        return {"step_seconds": STEP_S, "at": [row[0] for row in rows], **columns}

    def _mark_hits(self, before: Sample, sample: Sample) -> None:
        """Keep for each backend when it was last chosen."""
        old, new = before.reading.column(counters.LEASES), sample.reading.column(counters.LEASES)
        if old == new:
            return
        for slot in range(1, len(new)):
            if new[slot] > (old[slot] if slot < len(old) else 0):
                self._memory.set_last_hit(slot, sample.at)

    def _totals(self, before: Sample, sample: Sample) -> tuple[float, ...]:
        by_status = statuses(self.series, before, sample)
        taken_s = max(sample.mono - before.mono, 0.001)
        times = time_buckets(before.reading, sample.reading)
        head, old = sample.reading.head, before.reading.head
        sessions = sum(sample.reading.column(counters.TCP_SESSIONS)) - sum(before.reading.column(counters.TCP_SESSIONS))
        quantiles = [quantile(times, self._memory.time_buckets_us, share) for share in (0.5, 0.9, 0.99)]
        rates = (
            sum(by_status.values()),
            sum(count for status, count in by_status.items() if 400 <= status < 500),
            sum(count for status, count in by_status.items() if status >= 500),
            max(sessions, 0),
        )
        return (
            round(sample.at, 1),
            *(rounded(value / taken_s) for value in rates),
            *(-1.0 if value is None else rounded(value) for value in quantiles),
            head[counters.EXCHANGES_OPEN],
            head[counters.CONNECTIONS_OPEN],
            *(rounded(max(new - was, 0) / taken_s) for new, was in zip(moved(head), moved(old), strict=True)),
        )


def statuses(series: SeriesReader, before: Sample, sample: Sample) -> dict[int, int]:
    """How many requests ended with each status between two samples."""
    found: dict[int, int] = {}
    old = before.series
    for key, count in sample.series.items():
        ended = count - old.get(key, 0)
        if ended > 0:
            status = series.parts(key)[2]
            found[status] = found.get(status, 0) + ended
    return found


def time_buckets(before: Reading, reading: Reading) -> list[int]:
    """How long the requests took that ended between two readings, as buckets."""
    return [
        max(sum(reading.column(cell)) - sum(before.column(cell)), 0)
        for cell in range(counters.REQUEST_TIME, counters.REQUEST_TIME + counters.TIME_SUM)
    ]


def moved(head: memoryview) -> tuple[int, int]:
    """Bytes from clients and to them, in all modes."""
    return (
        head[counters.BYTES_IN] + head[counters.REQUEST_SIZE + counters.SIZE_SUM],
        head[counters.BYTES_OUT] + head[counters.RESPONSE_SIZE + counters.SIZE_SUM],
    )
