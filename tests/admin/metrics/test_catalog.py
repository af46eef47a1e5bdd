"""The table of all metrics: complete, in order, and told in words."""

from __future__ import annotations

import pytest
from test_metrics_keys import Served

from balance.admin.metrics.catalog import CATALOG
from balance.admin.metrics.definition import COUNTER, GAUGE, HISTOGRAM, Definition
from balance.runtime import counters

BY_NAME = {definition.name: definition for definition in CATALOG}
# SPEC 8.1, name and labels.
PROMISED = """\
balance_http_requests_total{method,status,pool,backend,route}
balance_http_request_duration_seconds
balance_http_request_size_bytes
balance_http_response_size_bytes
balance_backend_healthy{pool,backend}
balance_backend_connections
balance_backend_requests_total
balance_backend_request_duration_seconds
balance_backend_retries_total
balance_active_connections
balance_connections_total
balance_bytes_total{direction}
balance_circuit_breaker_state{pool,backend,state}
balance_circuit_breaker_failures_total
balance_rate_limited_total
balance_pool_connections{pool,backend,state}
balance_tls_handshakes_total
balance_tls_certificate_expiry_seconds
balance_sessions_total
balance_config_reloads_total{result}
balance_event_loop_lag_seconds{worker}
balance_worker_restarts_total
balance_load_fairness
balance_backend_utilization
process_cpu_seconds_total
process_resident_memory_bytes
process_open_fds
loadbalancer_requests_total{backend,status}
loadbalancer_z_backend_connections
loadbalancer_z_request_duration_seconds
go_balancer_requests_total
go_balancer_requests_success_total
go_balancer_requests_failed_total
go_balancer_backend_requests_total
go_balancer_backend_failures_total
go_balancer_backend_healthy{state}
"""


@pytest.mark.parametrize("line", PROMISED.split())
def test_a_promised_name_is_there_with_its_labels(line: str) -> None:
    name, _, labels = line.rstrip("}").partition("{")
    assert not labels or BY_NAME[name].labels == tuple(labels.split(","))
    assert name in BY_NAME


@pytest.mark.parametrize("definition", CATALOG, ids=lambda each: each.name)
def test_each_says_what_it_is_and_what_to_do(definition: Definition) -> None:
    assert definition.kind in (COUNTER, GAUGE, HISTOGRAM)
    assert definition.name.endswith("_total") == (definition.kind == COUNTER)
    assert definition.help.endswith(".")
    assert definition.advice
    assert len(definition.help) > 3 < len(definition.advice)
    assert "le" not in definition.labels


def test_a_name_stands_there_once() -> None:
    assert len(BY_NAME) == len(CATALOG)


def test_a_scrape_shows_what_is_in_the_table_and_nothing_else() -> None:
    served = Served("{aliases: [loadbalancer, go_balancer]}")
    served.request(("app", "a"), 200, 3)
    served.board.rows[0][counters.PLACE] = served.board.rows[0][counters.PID] = 1  # a worker
    shown = set(served.scrape())
    possible = {
        name: each
        for each in CATALOG
        for name in ([f"{each.name}_{end}" for end in ("bucket", "count", "sum")] if each.kind == HISTOGRAM else [each.name])
    }
    assert shown - set(possible) == set()
    assert {name for name, each in possible.items() if not each.shown} - shown == set()
