"""The text is what the library writes, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from test_metrics_keys import Served

from balance.admin.metrics.definition import COUNTER, GAUGE, HISTOGRAM, Definition
from balance.admin.metrics.families import Scraped
from balance.admin.metrics.family import Family
from balance.admin.metrics.scrape import Scrape
from balance.admin.metrics.text import as_text
from balance.admin.metrics.totals import Example

TRACE = bytes(range(16))


def both(metrics: list[object]) -> None:
    class Fixed:
        def collect(self) -> list[object]:
            return metrics

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Fixed())  # type: ignore[arg-type]
    assert as_text(metrics, is_openmetrics=False) == generate_latest(registry)  # type: ignore[arg-type]
    assert as_text(metrics, is_openmetrics=True) == generate_openmetrics(registry)  # type: ignore[no-untyped-call,arg-type]


def test_a_whole_scrape_with_exemplars() -> None:
    file = """\
pools: {app: {backends: [{name: a, address: "127.0.0.1:1", max_connections: 3}], circuit_breaker: {enabled: true}}}
listeners: [{name: web, mode: http, listen: "127.0.0.1:80", pool: app, rate_limit: {enabled: true}}]
"""
    served = Served("{aliases: [loadbalancer, go_balancer]}", file)
    for ms in (0.1, 3, 70, 12_345, 99_999_999):
        served.request(("app", "a"), 200, ms)
        served.rows[1].note_exemplar(served.view.slots["app", "a"], int(ms * 1000), TRACE, 1_790_000_000.123456)
    metrics = list(Scraped(Scrape(served.view, served.remembered)).collect())
    both(list(metrics))
    text = as_text(metrics, is_openmetrics=True).decode()
    assert f' # {{trace_id="{TRACE.hex()}"}} 0.003 1790000000.123456\n' in text
    assert "# UNIT balance_http_request_duration_seconds seconds" in text
    found = {family.name: family for family in parse_openmetrics(text)}
    examples = [sample for sample in found["balance_http_request_duration_seconds"].samples if sample.exemplar]
    assert len(examples) == 4  # two are in the last bucket
    assert all(sample.exemplar.value <= float(sample.labels["le"]) for sample in examples)
    list(text_string_to_metric_families(as_text(metrics, is_openmetrics=False).decode()))
    assert "trace_id" not in as_text(metrics, is_openmetrics=False).decode()


@given(
    st.dictionaries(st.text(max_size=20), st.floats(allow_nan=True) | st.integers(-(2**70), 2**70) | st.booleans(), max_size=5),
    st.text(max_size=20),
)
def test_any_labels_and_values(values: dict[str, float], words: str) -> None:
    words = words.encode("utf-8", "replace").decode()
    counter = Family(Definition("a_total", COUNTER, ("x", "b"), words))
    gauge = Family(Definition("b_bytes", GAUGE, ("x",), words))
    histogram = Family(Definition("c_seconds", HISTOGRAM, ("x",), words))
    for label, value in values.items():
        label = label.encode("utf-8", "replace").decode()
        counter.add((label, "y"), value)
        gauge.add((label,), value)
        histogram.put_histogram({"x": label}, ([(0.5, 1), (float("inf"), 2)], 3.5), {1: Example("ab", 0.7, 1.5)})
    both([family.metric for family in (counter, gauge, histogram)])


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.0"), (999_999, "999999.0"), (1_000_000, "1e+06"), (True, "1.0"), (-1, "-1.0")]
)
def test_numbers(value: float, text: str) -> None:
    family = Family(Definition("g", GAUGE, (), "A."))
    family.put({}, value)
    assert as_text([family.metric], is_openmetrics=False).decode().endswith(f"g {text}\n")
