"""Redis, where sessions or rate limits are shared there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import redis as table
from balance.admin.metrics.family import single
from balance.admin.metrics.scrape import Scrape
from balance.admin.metrics.shared_limits import worst_limits
from balance.admin.sessions import uses_store, worst_state
from balance.runtime import counters
from balance.shared_store.failures import StoreState

_ANSWERS: Final = (StoreState.UP, StoreState.READ_ONLY)
SESSION_COUNTERS: Final = (
    (table.LOOKUPS, counters.STORE_LOOKUPS),
    (table.ERRORS, counters.STORE_ERRORS),
    (table.WRITES_LOST, counters.STORE_WRITES_LOST),
)
LIMIT_COUNTERS: Final = (
    (table.EXCHANGES, counters.LIMITS_BATCHES),
    (table.EXCHANGED_KEYS, counters.LIMITS_KEYS),
    (table.EXCHANGE_ERRORS, counters.LIMITS_ERRORS),
    (table.UNSHARED, counters.LIMITS_UNSHARED),
)


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    view, cell = scrape.view, scrape.totals.cell
    if uses_store(view.config):
        state, _ = worst_state(view)
        yield single(table.UP, state in _ANSWERS)
        yield single(table.WRITABLE, state is StoreState.UP)
        for definition, counted in SESSION_COUNTERS:
            yield single(definition, cell(counted))
    if view.config.shares_limits:
        yield single(table.LIMITS_UP, worst_limits(view)[0] is StoreState.UP)
        for definition, counted in LIMIT_COUNTERS:
            yield single(definition, cell(counted))
