"""How far the backends of a pool are what its source says."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, Definition

_POOLS: Final = "of pools with discovery"

ENDPOINTS: Final = Definition(
    "balance_discovery_endpoints", GAUGE, ("pool",), "Backends of the pool that discovery has found.",
    "0: whatever is asked of the pool is answered 503, unless it has backends of its own.", _POOLS,
)  # fmt: skip
REFRESHES: Final = Definition(
    "balance_discovery_refreshes_total", COUNTER, ("pool", "result"), "Reports of the pool's source.",
    "`failure` grows: the source can't be asked; what was found last is served meanwhile.", _POOLS,
)  # fmt: skip
STALE: Final = Definition(
    "balance_discovery_stale", GAUGE, ("pool",),
    "1 while what is served is not what the source says now: it fails, or says that there is nobody and is not believed yet.",
    "For longer than `hold`: backends may have moved without anybody knowing.", _POOLS,
)  # fmt: skip
LAST_SUCCESS: Final = Definition(
    "balance_discovery_last_success_timestamp_seconds", GAUGE, ("pool",), "When the source last answered; 0: never.",
    "An alert on its age, where a source that fails in silence would hurt.", _POOLS,
)  # fmt: skip

DEFINITIONS: Final = (ENDPOINTS, REFRESHES, STALE, LAST_SUCCESS)
