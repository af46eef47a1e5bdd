"""One metric of one scrape, filled from its definition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from prometheus_client.core import Exemplar, Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from balance.admin.metrics.definition import COUNTER, Definition, Labels
from balance.admin.metrics.totals import Buckets, Example


class Family:
    """Samples of one name. What is made for many of the same labels shares them."""

    __slots__ = ("_definition", "metric")

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        name = definition.name.removesuffix("_total") if definition.kind == COUNTER else definition.name
        self.metric = Metric(name, definition.help, definition.kind, definition.unit)

    def add(self, values: Sequence[str], value: float) -> None:
        """A sample with these values of the labels."""
        self.put(dict(zip(self._definition.labels, values, strict=True)), value)

    def put(self, labels: Labels, value: float) -> None:
        """A sample with labels that others may have as well."""
        self.metric.samples.append(Sample(self._definition.name, labels, value))

    def put_histogram(self, labels: Labels, histogram: Buckets, examples: Mapping[int, Example] | None = None) -> None:
        """A histogram. `examples` are those of its buckets by their number."""
        buckets, total = histogram
        name, samples = self._definition.name, self.metric.samples
        for number, (bound, count) in enumerate(buckets):
            example = examples.get(number) if examples else None
            shown = Exemplar({"trace_id": example.trace_id}, example.value, example.at) if example is not None else None
            samples.append(Sample(f"{name}_bucket", {**labels, "le": _bound(bound)}, count, None, shown))
        samples.append(Sample(f"{name}_count", labels, buckets[-1][1]))
        samples.append(Sample(f"{name}_sum", labels, total))


def single(definition: Definition, value: float) -> Metric:
    """A metric without labels."""
    family = Family(definition)
    family.put({}, value)
    return family.metric


def by_word(definition: Definition, values: Iterable[tuple[str, float]]) -> Metric:
    """A metric with one label."""
    family = Family(definition)
    for word, value in values:
        family.add((word,), value)
    return family.metric


@cache
def _bound(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]
