"""What routes do besides serving, where they do."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import routes as table
from balance.admin.metrics.family import Family
from balance.admin.metrics.scrape import Scrape
from balance.config.fault_ends import fault_end_s
from balance.runtime import counters
from balance.runtime.backend_slots import LISTENER, NOBODY, route_key


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    mirrored, dropped = Family(table.MIRRORED), Family(table.MIRROR_DROPPED)
    faults, limited = Family(table.FAULTS), Family(table.LIMITED)
    slots, cell = scrape.view.slots, scrape.totals.cell

    def add_limited(names: tuple[str, str], slot: int) -> None:
        for action, counted in (("refused", counters.RATE_LIMITED), ("reported", counters.RATE_REPORTED)):
            limited.add((*names, action), cell(counters.block(slot) + counted) if slot else 0)

    for listener in scrape.view.config.listeners:
        if listener.rate_limit.enabled and not listener.http.routes:
            add_limited((listener.name, ""), slots.get((LISTENER, listener.name), NOBODY))
        for route in listener.http.routes:
            names = (listener.name, route.name)
            slot = slots.get(route_key(*names), NOBODY)
            if route.rate_limit.enabled:
                add_limited(names, slot)
            if route.policy.mirror is not None and slot:
                mirrored.add(names, cell(counters.block(slot) + counters.ROUTE_MIRRORED))
                dropped.add(names, cell(counters.block(slot) + counters.ROUTE_MIRROR_DROPPED))
            if route.policy.fault is not None:
                faults.add(names, scrape.now < fault_end_s(route.policy.fault))
    yield from (mirrored.metric, dropped.metric, faults.metric, limited.metric)
