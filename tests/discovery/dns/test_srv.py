"""S5 (haproxy#195, #3300, #971, coredns#3931): priorities, ports, and the ratios of weights (RFC 2782)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.discovery.dns.addresses import Addresses
from balance.discovery.dns.lookup import Service
from balance.discovery.dns.srv import MAX_WEIGHT, srv_endpoints, whole_weights

ADDRESSES = {
    "a.test": Addresses(("10.0.0.1",)),
    "b.test": Addresses(("10.0.0.2",)),
    "two.test": Addresses(("10.0.1.1",), ("2001:db8::1",)),
    "three.test": Addresses(("10.0.2.1", "10.0.2.2", "10.0.2.3")),
    "same.test": Addresses(("10.0.0.1",)),
    "gone.test": Addresses(),
}

# (priority, weight, port, target) of each record; (address, weight, is a backup) of each endpoint.
CASES: dict[str, tuple[list[tuple[int, int, int, str]], list[tuple[str, int, bool]]]] = {
    "weights as they are": (
        [(10, 1, 80, "a.test"), (10, 255, 80, "b.test")],
        [("10.0.0.1:80", 1, False), ("10.0.0.2:80", 255, False)],
    ),
    "the largest": (
        [(10, 65535, 80, "a.test"), (10, 256, 80, "b.test")],
        [("10.0.0.1:80", 65535, False), ("10.0.0.2:80", 256, False)],
    ),
    "0 gets nothing new": (
        [(10, 5, 80, "a.test"), (10, 0, 80, "b.test")],
        [("10.0.0.1:80", 5, False), ("10.0.0.2:80", 0, False)],
    ),
    "nothing but zeros is all alike": (
        [(10, 0, 80, "a.test"), (10, 0, 80, "b.test")],
        [("10.0.0.1:80", 1, False), ("10.0.0.2:80", 1, False)],
    ),
    "a zero is all there is once the other has no address": (
        [(10, 5, 80, "gone.test"), (10, 0, 80, "b.test")],
        [("10.0.0.2:80", 1, False)],
    ),
    "all alike are 1": (
        [(0, 33, 80, "a.test"), (0, 33, 80, "b.test")],
        [("10.0.0.1:80", 1, False), ("10.0.0.2:80", 1, False)],
    ),
    "later priorities are backups, with weights of their own": (
        [(20, 7, 81, "b.test"), (10, 1, 80, "a.test"), (30, 9, 82, "b.test"), (20, 3, 81, "a.test")],
        [("10.0.0.1:80", 1, False), ("10.0.0.2:81", 7, True), ("10.0.0.1:81", 3, True), ("10.0.0.2:82", 1, True)],
    ),
    "the first priority without an address leaves backups": (
        [(10, 1, 80, "gone.test"), (20, 1, 80, "b.test")],
        [("10.0.0.2:80", 1, True)],
    ),
    "a target with two addresses gets what it is due, not twice that": (
        [(10, 3, 80, "two.test"), (10, 3, 80, "a.test")],
        [("10.0.1.1:80", 3, False), ("[2001:db8::1]:80", 3, False), ("10.0.0.1:80", 6, False)],
    ),
    "thirds": (
        [(10, 1, 80, "three.test"), (10, 1, 80, "two.test")],
        [
            ("10.0.2.1:80", 2, False),
            ("10.0.2.2:80", 2, False),
            ("10.0.2.3:80", 2, False),
            ("10.0.1.1:80", 3, False),
            ("[2001:db8::1]:80", 3, False),
        ],
    ),
    "one address by two names counts once, with both weights": (
        [(10, 2, 80, "a.test"), (10, 3, 80, "same.test"), (10, 1, 80, "b.test")],
        [("10.0.0.1:80", 5, False), ("10.0.0.2:80", 1, False)],
    ),
    "in two priorities it is of the first": (
        [(10, 1, 80, "a.test"), (20, 1, 80, "A.TEST.")],
        [("10.0.0.1:80", 1, False)],
    ),
    "two ports of one target": (
        [(10, 1, 80, "a.test"), (10, 2, 81, "a.test")],
        [("10.0.0.1:80", 1, False), ("10.0.0.1:81", 2, False)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_srv_records_become_endpoints(case: str) -> None:
    records, expected = CASES[case]
    endpoints = srv_endpoints([Service(*record) for record in records], ADDRESSES)
    assert [(each.address, each.weight, each.backup) for each in endpoints] == expected


def test_endpoint_knows_its_target_and_family() -> None:
    endpoints = srv_endpoints([Service(0, 1, 80, "Two.test.")], ADDRESSES)
    assert [(each.part, each.metadata) for each in endpoints] == [
        ("two.test A", (("dns_target", "two.test"),)),
        ("two.test AAAA", (("dns_target", "two.test"),)),
    ]


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(1, 6)), min_size=1, max_size=40))
def test_ratios_are_kept_exactly_or_as_well_as_weights_can(pairs: list[tuple[int, int]]) -> None:
    shares = [Fraction(weight, parts) for weight, parts in pairs]
    weights = whole_weights(shares)
    assert all(0 <= weight <= MAX_WEIGHT for weight in weights)
    if not any(shares):
        assert set(weights) == {1}
        return
    assert [weight > 0 for weight in weights] == [share > 0 for share in shares]
    most = max(range(len(shares)), key=lambda index: shares[index])
    for share, weight in zip(shares, weights, strict=True):
        exact = share / shares[most] * weights[most]
        assert weight == exact or abs(weight - exact) <= 1


def test_weights_that_are_too_large_are_divided_before_they_are_rounded() -> None:
    assert whole_weights([Fraction(30000, 7), Fraction(60000, 7), Fraction(90000, 7)]) == [1, 2, 3]
    assert whole_weights([Fraction(65535, 2), Fraction(1), Fraction(65535)]) == [32768, 1, 65535]
