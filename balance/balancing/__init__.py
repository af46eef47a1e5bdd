"""Which backend: one file per algorithm. POLICIES is the table of them, by the name that a configuration uses."""

from __future__ import annotations

from balance.balancing.least_connections import LeastConnections
from balance.balancing.policy import NOBODY, Needs, Policy
from balance.balancing.round_robin import RoundRobin
from balance.balancing.weighted_round_robin import WeightedRoundRobin

POLICIES: dict[str, type[Policy]] = {
    "round-robin": RoundRobin,
    "weighted-round-robin": WeightedRoundRobin,
    "least-connections": LeastConnections,
}

__all__ = ["NOBODY", "POLICIES", "Needs", "Policy"]
