"""The names of metrics.aliases, from the same counters.

Backends of several pools may have one name: where they do, the label is `pool/backend`, as the commands take it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from balance.admin.metrics.definitions import aliases as table
from balance.admin.metrics.family import Family, by_word, single
from balance.admin.metrics.scrape import Scrape
from balance.admin.metrics.totals import cumulative
from balance.runtime import counters


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    wanted = scrape.view.config.metrics.aliases
    if "loadbalancer" in wanted:
        yield from _loadbalancer(scrape)
    if "go_balancer" in wanted:
        yield from _go_balancer(scrape)


def _names(scrape: Scrape) -> dict[int, str]:
    """Each backend's label by its slot."""
    times = Counter(each.backend.name for each, _ in scrape.backends)
    return {
        each.slot: each.backend.name if times[each.backend.name] == 1 else f"{each.pool.name}/{each.backend.name}"
        for each, _ in scrape.backends
    }


def _loadbalancer(scrape: Scrape) -> Iterator[Metric]:
    names = _names(scrape)
    counts: dict[tuple[str, str], int] = {}
    for (slot, _, status, _), count in scrape.totals.series().items():
        if slot and slot not in names:  # gone: under the name that it had
            names[slot] = scrape.view.names.get(slot, ("", ""))[1]
        key = (names.get(slot, ""), str(status))
        counts[key] = counts.get(key, 0) + count
    requests, connections = Family(table.LB_REQUESTS), Family(table.LB_CONNECTIONS)
    for labels, count in counts.items():
        requests.add(labels, count)
    yield requests.metric
    active = scrape.column(counters.ACTIVE)
    for each, _ in scrape.backends:
        connections.add((names[each.slot],), active[each.slot])
    yield connections.metric
    bounds = scrape.view.board.time_buckets_us
    cells = [counters.REQUEST_TIME + index for index in (*range(len(bounds) + 1), counters.TIME_SUM)]
    sums = scrape.remembered.sums.values("loadbalancer", [sum(scrape.column(cell)) for cell in cells])
    duration = Family(table.LB_DURATION)
    duration.put_histogram({}, (cumulative(sums[:-1], bounds, 1_000_000), sums[-1] / 1e6))
    yield duration.metric


def _go_balancer(scrape: Scrape) -> Iterator[Metric]:
    succeeded = failed = 0
    for (_, _, status, _), count in scrape.totals.series().items():
        if status >= 500:
            failed += count
        else:
            succeeded += count
    succeeded, failed = scrape.remembered.sums.values("go_balancer", (succeeded, failed))
    yield single(table.GO_REQUESTS, succeeded + failed)
    yield single(table.GO_SUCCESS, succeeded)
    yield single(table.GO_FAILED, failed)
    names = _names(scrape)
    for definition, cell in (
        (table.GO_BACKEND_REQUESTS, counters.LEASES),
        (table.GO_BACKEND_FAILURES, counters.FAILURES),
    ):
        counts = zip(scrape.backends, scrape.counts(cell), strict=True)
        yield by_word(definition, [(names[each.slot], count) for (each, _), count in counts])
    healthy = sum(each.state.is_ready for each, _ in scrape.backends)
    yield by_word(table.GO_HEALTHY, [("healthy", healthy), ("unhealthy", len(scrape.backends) - healthy)])
