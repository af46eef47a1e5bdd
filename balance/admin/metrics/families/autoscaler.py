"""Autoscalers, where pools have one."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import autoscaler as table
from balance.admin.metrics.family import Family
from balance.admin.metrics.scrape import Scrape
from balance.autoscaling.decision import Action


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families; a number that is not known has no sample."""
    families = {each: Family(each) for each in table.DEFINITIONS}
    for view in scrape.autoscalers:
        pool, decision = (view.pool,), view.decision
        families[table.LIMIT_MAX].add(pool, view.config.max)
        families[table.LEADER].add(pool, view.leads)
        families[table.CURRENT].add(pool, decision.current if decision is not None else view.members)
        if decision is not None:
            families[table.DESIRED].add(pool, decision.desired)
            families[table.RECOMMENDED].add(pool, decision.recommended)
            if decision.value is not None and not view.problem:
                families[table.VALUE].add(pool, decision.value)
        for action in Action:
            families[table.DECISIONS].add((view.pool, action.value), view.decisions.get(action.value, 0))
        for kind in ("driver", "store", "fenced", "internal"):
            families[table.ERRORS].add((view.pool, kind), view.errors.get(kind, 0))
        if view.config.driver == "process":
            families[table.CRASHING].add(pool, view.is_crashing)
    if scrape.autoscalers:
        yield from (each.metric for each in families.values())
