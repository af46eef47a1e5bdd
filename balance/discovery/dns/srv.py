"""From SRV records and their targets' addresses to endpoints (RFC 2782): priorities, and weights in their exact ratios."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from balance.discovery.dns.addresses import Addresses
from balance.discovery.dns.lookup import Service, canonical
from balance.discovery.endpoint import Endpoint

MAX_WEIGHT: Final = 65535  # of a backend, as of an SRV record


def host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def srv_endpoints(services: Sequence[Service], addresses: Mapping[str, Addresses]) -> tuple[Endpoint, ...]:
    """The endpoints of the lowest priority, then as backups those of all later ones.

    A target with several addresses divides its weight among them, so that it gets what it is due. What is listed twice counts
    once, with both its weights, and by its lowest priority. `addresses` is by the target's canonical name.
    """
    first = min((service.priority for service in services), default=0)
    endpoints: dict[str, Endpoint] = {}
    for priority in sorted({service.priority for service in services}):
        shares: dict[str, Fraction] = {}
        origins: dict[str, tuple[str, str]] = {}
        for service in services:
            target = canonical(service.target)
            found = addresses[target].families if service.priority == priority and target in addresses else ()
            for address, family in found:
                text = host_port(address, service.port)
                shares[text] = shares.get(text, Fraction(0)) + Fraction(service.weight, len(found))
                origins.setdefault(text, (target, part_of(target, family)))
        for text, weight in zip(shares, whole_weights(list(shares.values())), strict=True):
            target, part = origins[text]
            found_as = (("dns_target", target),)
            endpoints.setdefault(text, Endpoint(text, weight=weight, backup=priority > first, metadata=found_as, part=part))
    return tuple(endpoints.values())


def part_of(target: str, family: str) -> str:
    """How the addresses of one family of a target are called as a part of the source."""
    return f"{target} {family}"


def whole_weights(shares: Sequence[Fraction]) -> list[int]:
    """Whole numbers in the ratios of `shares`, exactly wherever MAX_WEIGHT allows it; 0 stays 0, which is nothing new.

    All alike are 1 each: CoreDNS gives each of n targets the weight 100/n, and a pod more must not change everybody's weight.
    Zeros alone leave nothing to choose by (RFC 2782): all alike, too.
    """
    if len(set(shares)) <= 1:
        return [1] * len(shares)
    scale = math.lcm(*(share.denominator for share in shares))
    whole = [int(share * scale) for share in shares]
    if max(whole) <= MAX_WEIGHT:
        return whole
    divisor = math.gcd(*whole)
    whole = [each // divisor for each in whole]
    most = max(whole)
    if most <= MAX_WEIGHT:
        return whole
    return [max(1, round(Fraction(each * MAX_WEIGHT, most))) if each else 0 for each in whole]


def targets_of(services: Iterable[Service]) -> tuple[str, ...]:
    """The targets, each once."""
    return tuple(dict.fromkeys(canonical(service.target) for service in services))
