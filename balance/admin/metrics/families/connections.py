"""Clients' connections."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import connections as table
from balance.admin.metrics.family import Family, by_word, single
from balance.admin.metrics.scrape import Scrape
from balance.proxy.descriptor_limit import reserve
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER, NOBODY

REFUSALS: Final = (
    ("blocked", counters.REFUSED_BLOCKED),
    ("connections", counters.REFUSED_COUNT),
    ("rate", counters.REFUSED_RATE),
    ("proxy_header", counters.REFUSED_PROXY_HEADER),
)


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    cell = scrape.totals.cell
    yield single(table.CONNECTIONS, cell(counters.CONNECTIONS))
    yield single(table.OPEN, cell(counters.CONNECTIONS_OPEN))
    limit = _limit(scrape)
    if limit:
        yield single(table.LIMIT, limit)
    yield single(table.ACTIVE, cell(counters.EXCHANGES_OPEN))
    yield single(table.CUT, cell(counters.CUT))
    yield single(table.LOST, scrape.view.board.connections_lost)
    yield by_word(table.BYTES, [("in", scrape.totals.bytes_in), ("out", scrape.totals.bytes_out)])
    yield by_word(table.PAUSES, [("descriptors", cell(counters.PAUSES_SHORT)), ("max_clients", cell(counters.PAUSES_FULL))])
    yield single(table.PAUSED, cell(counters.PAUSED))
    yield single(table.RECLAIMED, cell(counters.CLIENTS_RECLAIMED))
    yield from _listeners(scrape)


def _listeners(scrape: Scrape) -> Iterator[Metric]:
    view, cell = scrape.view, scrape.totals.cell
    clients, limits, refused = Family(table.LISTENER_OPEN), Family(table.LISTENER_LIMIT), Family(table.REFUSED)
    for listener in view.config.listeners:
        clients.add((listener.name,), view.clients(listener.name, scrape.totals))
        slot = view.slots.get((LISTENER, listener.name), NOBODY)
        for reason, refusals in REFUSALS:
            refused.add((listener.name, reason), cell(counters.block(slot) + refusals) if slot else 0)
        if listener.max_clients:
            limits.add((listener.name,), listener.max_clients)
    yield from (clients.metric, limits.metric, refused.metric)


def _limit(scrape: Scrape) -> int:
    """As many clients as there may be; 0: any number."""
    config = scrape.view.config
    limits = [listener.max_clients for listener in config.listeners]
    configured = sum(limits) if limits and all(limits) else 0
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    possible = config.workers * ((descriptors - reserve(descriptors)) // 2) if descriptors > 0 else 0
    return min(configured or possible, possible or configured)
