"""The discovery of pools, where there is one. Every result is there from the first scrape on, so that rates see its first."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import discovery as table
from balance.admin.metrics.family import Family, by_word
from balance.admin.metrics.scrape import Scrape
from balance.discovery.endpoint_set import Result, Standing


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    found = scrape.discovery
    if not found:
        return
    yield by_word(table.ENDPOINTS, [(pool, each.endpoints) for pool, each in found.items()])
    refreshes = Family(table.REFRESHES)
    for pool, each in found.items():
        for result in Result:
            refreshes.add((pool, result.value), (each.results or {}).get(result, 0))
    yield refreshes.metric
    stale = (Standing.STALE, Standing.FAILING)
    yield by_word(table.STALE, [(pool, each.standing in stale) for pool, each in found.items()])
    yield by_word(table.LAST_SUCCESS, [(pool, round(each.last_answer_at or 0.0, 3)) for pool, each in found.items()])
