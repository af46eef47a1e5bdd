"""One moment of an instance, for all sections: the latest sample, and the earlier ones that rates are taken from."""

from __future__ import annotations

from operator import sub

from balance.admin.dashboard.state.reading import Reading, quantile, rounded
from balance.admin.dashboard.state.recorder import Sample
from balance.admin.state_view import StateView
from balance.model import Why
from balance.runtime import counters

TICK_S = 1.0  # totals: what charts show
WINDOW_S = 5.0  # rates and percentiles of rows
SHARE_S = 10.0  # shares and retry budgets


class Moment:
    """Read once, used by all sections."""

    __slots__ = (
        "_blocks",
        "_window_blocks",
        "bounds_us",
        "errors",
        "failures",
        "flows",
        "long",
        "now",
        "now_us",
        "route_errors",
        "sample",
        "statuses",
        "tick",
        "view",
        "window",
    )

    def __init__(self, view: StateView, sample: Sample) -> None:
        """The sample is the recorder's latest."""
        recorder = view.traffic
        self.view = view
        self.sample = sample
        self.bounds_us = view.board.time_buckets_us
        self._blocks: dict[int, list[int]] = {}
        self._window_blocks: dict[int, list[int]] = {}
        self.now = sample.at
        self.now_us = int(sample.mono * 1e6)
        self.tick = recorder.before(TICK_S)
        if self.tick is sample and len(recorder.samples) > 1:
            self.tick = recorder.samples[-2]
        self.window = recorder.before(WINDOW_S)
        self.long = recorder.before(SHARE_S)
        self.statuses: dict[int, int] = {}  # since the tick before
        self.errors: dict[int, int] = {}  # replies with 5xx within the window, by backend slot
        self.route_errors: dict[int, int] = {}  # by route slot
        self.flows: dict[tuple[int, int], int] = {}  # requests within the window, by (route slot, backend slot)
        self.failures: dict[int, dict[str, int]] = {}  # tries that failed, ever, by backend slot and why
        for key, count in sample.failures.items():
            slot, _, why, _ = recorder.series.parts(key)
            if count:
                self.failures.setdefault(slot, {})[Why(why).word] = count
        parts, tick, window = recorder.series.parts, self.tick.series, self.window.series
        for key, count in sample.series.items():
            ended = count - window.get(key, 0)
            if ended <= 0:
                continue
            slot, _, status, route = parts(key)
            flow = route, slot
            self.flows[flow] = self.flows.get(flow, 0) + ended
            if status >= 500:
                self.errors[slot] = self.errors.get(slot, 0) + ended
                self.route_errors[route] = self.route_errors.get(route, 0) + ended
            just_ended = count - tick.get(key, 0)
            if just_ended > 0:
                self.statuses[status] = self.statuses.get(status, 0) + just_ended

    def block(self, slot: int) -> list[int]:
        """The counters of a slot now."""
        found = self._blocks.get(slot)
        if found is None:
            found = self._blocks[slot] = self.sample.reading.block(slot)
        return found

    def window_block(self, slot: int) -> list[int]:
        """The same at the beginning of the window."""
        found = self._window_blocks.get(slot)
        if found is None:
            found = self._window_blocks[slot] = self.window.reading.block(slot)
        return found

    def per_second(self, count: int, since: Sample) -> float:
        """A rate, from a count since that sample."""
        taken_s = self.sample.mono - since.mono
        return rounded(count / taken_s) if count > 0 and taken_s > 0 else 0.0

    def cell(self, index: int) -> int:
        """A counter or gauge of the head of a row."""
        return self.sample.reading.head[index]

    def moved(self, index: int) -> int:
        """By how much a counter of the head has moved since the tick before."""
        return max(self.cell(index) - self.tick.reading.head[index], 0)

    @property
    def reading(self) -> Reading:
        return self.sample.reading


def percentiles(buckets: list[int], bounds_us: tuple[int, ...], *shares: float) -> dict[str, float]:
    """`p50_seconds` and so on, of a histogram over those bounds; nothing of an empty one."""
    found = {}
    for share in shares:
        value = quantile(buckets, bounds_us, share)
        if value is not None:
            found[f"p{share * 100:g}_seconds"] = rounded(value)
    return found


def grown(now: list[int], before: list[int], start: int) -> list[int]:
    """By how much the buckets of the histogram at `start` have grown from one block to another."""
    end = start + counters.TIME_SUM
    buckets = list(map(sub, now[start:end], before[start:end]))
    return buckets if min(buckets) >= 0 else [max(each, 0) for each in buckets]
