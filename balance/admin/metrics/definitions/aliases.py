"""Names that other balancers gave to the same figures, for whoever has dashboards of them: metrics.aliases."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, HISTOGRAM, Definition

_LOADBALANCER: Final = "with loadbalancer in metrics.aliases"
_GO_BALANCER: Final = "with go_balancer in metrics.aliases"

LB_REQUESTS: Final = Definition(
    "loadbalancer_requests_total", COUNTER, ("backend", "status"), "balance_http_requests_total by backend and status.",
    "As there.", _LOADBALANCER,
)  # fmt: skip
LB_CONNECTIONS: Final = Definition(
    "loadbalancer_z_backend_connections", GAUGE, ("backend",), "balance_backend_connections.", "As there.", _LOADBALANCER
)
LB_DURATION: Final = Definition(
    "loadbalancer_z_request_duration_seconds", HISTOGRAM, (), "balance_http_request_duration_seconds of all together.",
    "As there.", _LOADBALANCER,
)  # fmt: skip
GO_REQUESTS: Final = Definition(
    "go_balancer_requests_total", COUNTER, (), "balance_pool_responses_total of all together.", "As there.", _GO_BALANCER
)
GO_SUCCESS: Final = Definition(
    "go_balancer_requests_success_total", COUNTER, (), "Those of them with a status below 500.", "As there.", _GO_BALANCER
)
GO_FAILED: Final = Definition(
    "go_balancer_requests_failed_total", COUNTER, (), "Those of them with a status of 500 or more.", "As there.", _GO_BALANCER
)
GO_BACKEND_REQUESTS: Final = Definition(
    "go_balancer_backend_requests_total", COUNTER, ("backend",), "balance_backend_requests_total.", "As there.", _GO_BALANCER
)
GO_BACKEND_FAILURES: Final = Definition(
    "go_balancer_backend_failures_total", COUNTER, ("backend",), "balance_backend_failures_total.", "As there.", _GO_BALANCER
)
GO_HEALTHY: Final = Definition(
    "go_balancer_backend_healthy", GAUGE, ("state",), "How many backends are healthy, and how many unhealthy.",
    "As balance_backend_healthy.", _GO_BALANCER,
)  # fmt: skip

LOADBALANCER: Final = (LB_REQUESTS, LB_CONNECTIONS, LB_DURATION)
GO_BALANCER: Final = (
    GO_REQUESTS, GO_SUCCESS, GO_FAILED, GO_BACKEND_REQUESTS, GO_BACKEND_FAILURES, GO_HEALTHY,
)  # fmt: skip
DEFINITIONS: Final = (*LOADBALANCER, *GO_BALANCER)
