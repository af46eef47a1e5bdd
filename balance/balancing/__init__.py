"""Balancing algorithms, one module each. POLICIES maps the names in a configuration to them."""

from __future__ import annotations

from balance.balancing.adaptive import Adaptive
from balance.balancing.bounded_load import BoundedLoad
from balance.balancing.consistent_hash import ConsistentHash
from balance.balancing.least_connections import LeastConnections
from balance.balancing.least_response_time import LeastResponseTime
from balance.balancing.maglev import Maglev
from balance.balancing.policy import NO_BACKEND, Needs, Policy
from balance.balancing.power_of_two import PowerOfTwo
from balance.balancing.random_choice import RandomChoice
from balance.balancing.round_robin import RoundRobin
from balance.balancing.source_ip import SourceIp
from balance.balancing.weighted_least_connections import WeightedLeastConnections
from balance.balancing.weighted_round_robin import WeightedRoundRobin

POLICIES: dict[str, type[Policy]] = {
    "round-robin": RoundRobin,
    "weighted-round-robin": WeightedRoundRobin,
    "least-connections": LeastConnections,
    "weighted-least-connections": WeightedLeastConnections,
    "random": RandomChoice,
    "power-of-two": PowerOfTwo,
    "least-response-time": LeastResponseTime,
    "adaptive": Adaptive,
    "consistent-hash": ConsistentHash,
    "maglev": Maglev,
    "bounded-load": BoundedLoad,
    "source-ip": SourceIp,
}

__all__ = ["NO_BACKEND", "POLICIES", "Needs", "Policy"]
