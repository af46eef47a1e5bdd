"""What a scrape shows: for each kind of metric, its samples. COLLECTORS is the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from balance.admin.metrics.families import (
    aliases,
    autoscaler,
    backends,
    breakers,
    connections,
    discovery,
    features,
    histograms,
    processes,
    program,
    redis,
    requests,
    routes,
    tls,
    tracing,
)
from balance.admin.metrics.scrape import Scrape

COLLECTORS: Final[tuple[Callable[[Scrape], Iterator[Metric]], ...]] = (
    requests.collect,
    histograms.collect,
    backends.collect,
    breakers.collect,
    discovery.collect,
    autoscaler.collect,
    routes.collect,
    features.collect,
    connections.collect,
    redis.collect,
    tls.collect,
    tracing.collect,
    program.collect,
    processes.collect,
    aliases.collect,
)


class Scraped(Collector):
    """What one scrape collects, as the library's registries take it."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def describe(self) -> list[Metric]:
        """Empty: registering must not read the metrics."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        for collect in COLLECTORS:
            yield from collect(self._scrape)
