"""S6: a family that fails leaves the other alone, and its own endpoints where they are."""

from __future__ import annotations

import pytest

from balance.discovery.answer import SourceFailure
from balance.discovery.dns.addresses import Addresses, merged
from balance.discovery.dns.lookup import NO_NAME, NO_RECORDS, Lookup, Status, failed

V4 = Lookup(Status.FOUND, ("10.0.0.1",), 60)
V6 = Lookup(Status.FOUND, ("2001:db8::1",), 20)
DOWN = failed("SERVFAIL")
A4, A6 = ("10.0.0.1",), ("2001:db8::1",)
NOBODY = Addresses()

# What is answered for A and for AAAA, and what that comes to.
CASES: dict[str, tuple[Lookup, Lookup, Addresses | SourceFailure]] = {
    "both": (V4, V6, Addresses(A4, A6, 20)),
    "one has none": (V4, NO_RECORDS, Addresses(A4, (), 60)),
    "one fails": (V4, DOWN, Addresses(A4, (), 60, frozenset({"AAAA"}), ("AAAA: SERVFAIL",))),
    "the other fails": (DOWN, V6, Addresses((), A6, 20, frozenset({"A"}), ("A: SERVFAIL",))),
    "both fail": (DOWN, DOWN, SourceFailure("A: SERVFAIL; AAAA: SERVFAIL")),
    "NODATA beside a failure does not say that there is nobody": (NO_RECORDS, DOWN, SourceFailure("AAAA: SERVFAIL")),
    "nor the other way round": (DOWN, NO_RECORDS, SourceFailure("A: SERVFAIL")),
    "NXDOMAIN is said of the name": (NO_NAME, DOWN, Addresses((), (), None, frozenset({"AAAA"}), ("AAAA: SERVFAIL",))),
    "but not to the question for AAAA (RFC 4074)": (DOWN, NO_NAME, SourceFailure("A: SERVFAIL")),
    "NXDOMAIN to AAAA beside addresses": (V4, NO_NAME, Addresses(A4, (), 60)),
    "no such name": (NO_NAME, NO_NAME, NOBODY),
    "no records of either type": (NO_RECORDS, NO_RECORDS, NOBODY),
}


@pytest.mark.parametrize("case", CASES)
def test_family_that_fails_neither_empties_nor_replaces_the_other(case: str) -> None:
    a, aaaa, expected = CASES[case]
    assert merged(a, aaaa) == expected
