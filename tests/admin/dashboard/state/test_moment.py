"""Windows of a moment: what is since the tick before, and what is within seconds."""

from __future__ import annotations

from balance.admin.dashboard.state.moment import Moment, grown, percentiles
from balance.admin.state_view import StateView
from balance.runtime import counters


def test_a_moment_has_three_windows(view: StateView) -> None:
    for second in range(20):
        sample = view.traffic.take(1000.0 + second, 100.0 + second)
    moment = Moment(view, sample)
    assert (moment.tick.mono, moment.window.mono, moment.long.mono) == (118.0, 114.0, 109.0)
    assert moment.per_second(10, moment.window) == 2.0
    assert moment.per_second(-10, moment.window) == 0.0


def test_the_first_moment_has_no_rates(view: StateView) -> None:
    moment = Moment(view, view.traffic.take(1000.0, 100.0))
    assert moment.per_second(10, moment.tick) == 0.0
    assert moment.statuses == moment.flows == {}


def test_after_a_pause_the_tick_is_the_sample_before(view: StateView) -> None:
    view.traffic.take(1000.0, 100.0)
    moment = Moment(view, view.traffic.take(1002.0, 102.0))
    assert moment.tick.mono == 100.0


def test_percentiles_of_what_has_grown() -> None:
    before, now = [5] * counters.BLOCK, [5] * counters.BLOCK
    now[counters.UPSTREAM_TIME + 1] = 15
    buckets = grown(now, before, counters.UPSTREAM_TIME)
    assert sum(buckets) == 10
    assert percentiles(buckets, counters.TIME_BUCKETS_US, 0.5) == {"p50_seconds": 0.00075}
    assert percentiles([0, 0], counters.TIME_BUCKETS_US, 0.5) == {}
