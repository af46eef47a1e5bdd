"""How long requests take: per backend, per pool, or for all together, as metrics.backend_histograms says.

A histogram has some twenty series. With thousands of backends they would be most of a scrape, and nobody looks at them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from balance.admin.metrics.definition import Definition, Labels
from balance.admin.metrics.definitions import backends as backend_table
from balance.admin.metrics.definitions import requests as table
from balance.admin.metrics.family import Family
from balance.admin.metrics.scrape import Scrape
from balance.admin.metrics.totals import Buckets, Example, cumulative
from balance.runtime import counters

AUTO_BACKENDS: Final = 200  # with more, `auto` is per pool
_NOBODY: Final = {"pool": "", "backend": ""}
_US: Final = 1_000_000


def collect(scrape: Scrape) -> Iterator[Metric]:
    """The families."""
    groups = _groups(scrape)
    examples = _examples(scrape, groups)
    yield _histograms(scrape, table.DURATION, counters.REQUEST_TIME, groups, examples)
    if len(groups) > 1 or groups[0][0] != _NOBODY or scrape.view.config.metrics.backend_histograms != "off":
        served = [group for group in groups if group[0] != _NOBODY]
        yield _histograms(scrape, backend_table.DURATION, counters.UPSTREAM_TIME, served, {})


def _groups(scrape: Scrape) -> list[tuple[Labels, list[int]]]:
    """The labels of each histogram, and the slots that it is the sum of."""
    chosen = scrape.view.config.metrics.backend_histograms
    if chosen == "off":
        return [(_NOBODY, list(range(scrape.slots)))]
    if chosen == "backend" or (chosen == "auto" and len(scrape.backends) <= AUTO_BACKENDS):
        backends = zip(scrape.backends, scrape.slots_of_backends, strict=True)
        return [(_NOBODY, [0]), *((labels, slots) for (_, labels), slots in backends)]
    return [
        (_NOBODY, [0]),
        *(({"pool": pool, "backend": ""}, slots) for pool, slots in scrape.slots_of_pools.items()),
    ]


def _examples(scrape: Scrape, groups: list[tuple[Labels, list[int]]]) -> dict[int, dict[int, Example]]:
    """The newest example by group and bucket."""
    known = scrape.totals.examples()
    if not known:
        return {}
    group_of = {slot: index for index, (_, slots) in enumerate(groups) for slot in slots}
    found: dict[int, dict[int, Example]] = {}
    for (slot, bucket), example in known.items():
        index = group_of.get(slot)
        if index is None:
            continue
        other = found.setdefault(index, {}).get(bucket)
        if other is None or other.at < example.at:
            found[index][bucket] = example
    return found


def _histograms(
    scrape: Scrape,
    definition: Definition,
    base: int,
    groups: list[tuple[Labels, list[int]]],
    examples: dict[int, dict[int, Example]],
) -> Metric:
    bounds = scrape.view.board.time_buckets_us
    columns = [scrape.column(base + index) for index in (*range(len(bounds) + 1), counters.TIME_SUM)]
    sums = scrape.remembered.sums
    family = Family(definition)
    for index, (labels, slots) in enumerate(groups):
        key = (definition.name, labels["pool"], labels["backend"])
        if len(slots) == 1 and not sums.knows((key, 0)):
            counts = [column[slots[0]] for column in columns]
        else:
            counts = sums.values(key, [sum([column[slot] for slot in slots]) for column in columns])
        histogram: Buckets = cumulative(counts[:-1], bounds, _US), counts[-1] / _US
        family.put_histogram(labels, histogram, examples.get(index))
    return family.metric
