"""The metrics of discovery: every result from the first scrape on, and nothing where no pool has a source."""

from types import SimpleNamespace
from typing import Any

from balance.admin.discovery import DiscoveryView
from balance.admin.metrics.families.discovery import collect
from balance.discovery.endpoint_set import Result, Standing


def samples(**views: DiscoveryView) -> dict[str, float]:
    scrape: Any = SimpleNamespace(discovery=views)
    return {
        f"{sample.name} {' '.join(sample.labels.values())}": sample.value
        for metric in collect(scrape)
        for sample in metric.samples
    }


def test_each_pool_with_a_source_is_counted() -> None:
    found = samples(
        web=DiscoveryView("dns", "app.example", Standing.FRESH, 1.0, 3, 1234.5678, results={Result.CHANGED: 2}),
        mail=DiscoveryView("file", "/x", Standing.FAILING, 1.0, 0),
    )
    assert found == {
        "balance_discovery_endpoints web": 3,
        "balance_discovery_endpoints mail": 0,
        "balance_discovery_refreshes_total web changed": 2,
        "balance_discovery_refreshes_total web unchanged": 0,
        "balance_discovery_refreshes_total web empty": 0,
        "balance_discovery_refreshes_total web failure": 0,
        "balance_discovery_refreshes_total mail changed": 0,
        "balance_discovery_refreshes_total mail unchanged": 0,
        "balance_discovery_refreshes_total mail empty": 0,
        "balance_discovery_refreshes_total mail failure": 0,
        "balance_discovery_stale web": 0,
        "balance_discovery_stale mail": 1,
        "balance_discovery_last_success_timestamp_seconds web": 1234.568,
        "balance_discovery_last_success_timestamp_seconds mail": 0,
    }
    assert samples() == {}
