"""Circuit breakers and ejections, where they are configured."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.backends import breaker_phase
from balance.admin.metrics.definitions import backends as table
from balance.admin.metrics.family import Family
from balance.admin.metrics.scrape import Scrape
from balance.health.circuit_breaker import TOTAL_OPENINGS, BreakerState
from balance.runtime import counters


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    board = scrape.view.board
    state, failures = Family(table.BREAKER), Family(table.BREAKER_FAILURES)
    opened, ejections = Family(table.BREAKER_OPENED), Family(table.EJECTIONS)
    for (each, labels), blamed in zip(scrape.backends, scrape.counts(counters.BLAMED), strict=True):
        if each.pool.breaker.enabled:
            holds = breaker_phase(each, scrape.view, scrape.now_us)
            for phase in BreakerState:
                state.put({**labels, "state": phase.word}, phase is holds)
            failures.put(labels, blamed)
            opened.put(labels, board.evidence(each.slot)[TOTAL_OPENINGS])
        if each.pool.health_check.passive.enabled:
            ejections.put(labels, board.ejection(each.slot).total)
    yield from (state.metric, failures.metric, opened.metric, ejections.metric)
