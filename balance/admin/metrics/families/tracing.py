"""Traces: what became of spans, over all workers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import tracing as table
from balance.admin.metrics.family import single
from balance.admin.metrics.scrape import Scrape
from balance.runtime import counters


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    cell = scrape.totals.cell
    yield single(table.SPANS_EXPORTED, cell(counters.SPANS_EXPORTED))
    yield single(table.SPANS_DROPPED, cell(counters.SPANS_DROPPED))
