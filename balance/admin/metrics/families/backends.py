"""Backends: whether they get traffic, what they have, what was sent there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from balance.admin.backends import waiting
from balance.admin.metrics.definitions import backends as table
from balance.admin.metrics.fairness import jain
from balance.admin.metrics.family import Family, by_word
from balance.admin.metrics.scrape import Scrape
from balance.config.model import PoolConfig
from balance.runtime import counters

# Counters with one cell in each backend's block.
COUNTERS: Final = (
    (table.REQUESTS, counters.LEASES),
    (table.COPIES, counters.COPIES),
    (table.RETRIES, counters.RETRIES),
    (table.FAILURES, counters.FAILURES),
    (table.CONNECTS, counters.CONNECTS),
    (table.CONNECT_FAILURES, counters.CONNECT_FAILURES),
    (table.SENT, counters.SENT_BYTES),
    (table.RECEIVED, counters.RECEIVED_BYTES),
    (table.TCP_SESSIONS, counters.TCP_SESSIONS),
    (table.SESSIONS, counters.SESSIONS),
)


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    healthy, by_order, connections = Family(table.HEALTHY), Family(table.OUT_BY_ORDER), Family(table.CONNECTIONS)
    limits, utilization, pooled = Family(table.MAX_CONNECTIONS), Family(table.UTILIZATION), Family(table.POOLED)
    active, idle, opened = scrape.column(counters.ACTIVE), scrape.column(counters.IDLE), scrape.column(counters.OPEN)
    for each, labels in scrape.backends:
        slot, limit = each.slot, each.backend.max_connections
        healthy.put(labels, each.state.is_ready)
        by_order.put(labels, each.state.is_operator_set)
        connections.put(labels, active[slot])
        if limit:
            limits.put(labels, limit)
            utilization.put(labels, active[slot] / limit)
        pooled.put({**labels, "state": "active"}, max(opened[slot] - idle[slot], 0))
        pooled.put({**labels, "state": "idle"}, idle[slot])
    for family in (healthy, by_order, connections, limits, utilization, pooled):
        yield family.metric
    for definition, cell in COUNTERS:
        family = Family(definition)
        for (_, labels), count in zip(scrape.backends, scrape.counts(cell), strict=True):
            family.put(labels, count)
        yield family.metric
    pools = scrape.view.config.pools
    yield by_word(table.WAITING, [(pool.name, waiting(pool, scrape.view, scrape.totals)) for pool in pools])
    yield _fairness(scrape, pools)


def _fairness(scrape: Scrape, pools: tuple[PoolConfig, ...]) -> Metric:
    requests = scrape.remembered.recent.since_then(scrape.now_us / 1e6, scrape.column(counters.LEASES))
    shares: dict[str, list[float]] = {pool.name: [] for pool in pools}
    for each, _ in scrape.backends:
        if each.state.is_ready and each.backend.weight and not each.backend.backup:
            shares[each.pool.name].append(requests[each.slot] / each.backend.weight)
    return by_word(table.FAIRNESS, [(pool, jain(found)) for pool, found in shares.items()])
