"""Requests by status, and how they ended."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics.definition import Labels
from balance.admin.metrics.definitions import requests as table
from balance.admin.metrics.family import Family, by_word
from balance.admin.metrics.scrape import Scrape
from balance.grpc.statuses import name_of
from balance.model import Why
from balance.retry.decision import NOT_RETRIED
from balance.runtime import counters
from balance.runtime.backend_slots import route_of

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    yield from _answered(scrape)
    calls = _calls(scrape)
    if calls.samples:
        yield calls
    totals = scrape.totals
    for definition, base in (
        (table.REQUEST_SIZE, counters.REQUEST_SIZE),
        (table.RESPONSE_SIZE, counters.RESPONSE_SIZE),
    ):
        size = Family(definition)
        size.put_histogram({}, totals.histogram(base, counters.SIZE_BUCKETS, 1))
        yield size.metric
    yield by_word(table.ENDED, [(why.word, totals.cell(counters.WHY + why)) for why in Why])
    yield by_word(table.SKIPPED, [(reason.word, totals.cell(counters.skipped(reason))) for reason in NOT_RETRIED])


def _calls(scrape: Scrape) -> Metric:
    names = {each.slot: (each.pool.name, each.backend.name) for each, _ in scrape.backends}
    counts: dict[tuple[str, str, str], int] = {}
    for (slot, status), count in scrape.totals.grpc_calls().items():
        pool, backend = names.get(slot) or scrape.view.names.get(slot, ("", ""))
        series = (name_of(status), pool, backend)
        counts[series] = counts.get(series, 0) + count
    calls = Family(table.GRPC_CALLS)
    for labelled, count in counts.items():
        calls.put(dict(zip(table.GRPC_CALLS.labels, labelled, strict=True)), count)
    return calls.metric


def _answered(scrape: Scrape) -> Iterator[Metric]:
    names = {0: ("", "")} | {each.slot: (each.pool.name, each.backend.name) for each, _ in scrape.backends}
    known = scrape.view.names
    counts: dict[tuple[str, str, str, str, str], int] = {}
    classes = {(pool, word): 0 for pool in ("", *(pool.name for pool in scrape.view.config.pools)) for word in CLASSES}
    # The counts of removed backends stay under their names.
    for (slot, method, status, route), count in scrape.totals.series().items():
        pool, backend = names.get(slot) or known.get(slot, ("", ""))
        route_name = route_of(known.get(route, ("", "")))[1] if route else ""
        series = (counters.METHODS[method], str(status), pool, backend, route_name)
        counts[series] = counts.get(series, 0) + count  # a backend with a new address has a new slot
        if (pool, f"{status // 100}xx") in classes:
            classes[pool, f"{status // 100}xx"] += count
    requests, responses = Family(table.REQUESTS), Family(table.RESPONSES)
    labels = table.REQUESTS.labels
    for labelled, count in counts.items():
        requests.put(dict(zip(labels, labelled, strict=True)), count)
    for (pool, word), count in classes.items():
        shared: Labels = {"pool": pool, "class": word}
        responses.put(shared, scrape.remembered.sums.value(("class", pool, word), count))
    yield requests.metric
    yield responses.metric
