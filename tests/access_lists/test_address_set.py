"""Sets of addresses."""

import ipaddress
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.access_lists.address_range import AddressRange, parse_range
from balance.access_lists.address_set import NOBODY, AddressSet


def of(*entries: str) -> AddressSet:
    return AddressSet(map(parse_range, entries))


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


LISTED = of("10.0.0.0/8", "192.0.2.7", "192.0.2.8", "198.51.100.10-198.51.100.20", "2001:db8::/48", "2001:db8:1::5",
            "fe80::/10", "2001:db8:9:9::1-2001:db8:9:9::4", "2001:db8:9:9::9", "255.255.255.255")  # fmt: skip


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("9.255.255.255", False),
        ("11.0.0.0", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("192.0.2.7", True),
        ("192.0.2.8", True),
        ("192.0.2.9", False),
        ("198.51.100.9", False),
        ("198.51.100.15", True),
        ("255.255.255.255", True),
        ("0.0.0.0", False),
        ("::", False),
        ("2001:db8::", True),
        ("2001:db8:0:ffff:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1::4", False),
        ("2001:db8:1::5", True),
        ("2001:db8:1::6", False),
        ("2001:db8:9:9::", False),
        ("2001:db8:9:9::4", True),
        ("2001:db8:9:9::5", False),
        ("2001:db8:9:9::9", True),
        ("2001:db8:9:9::a", False),
        ("febf::1", True),
        ("fec0::", False),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("::10.0.0.1", False),
    ],
)
def test_an_address_is_found_where_a_range_has_it(address: str, is_in: bool) -> None:
    assert LISTED.has(packed(address)) is is_in


_NUMBERS = st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1))
_WIDE = st.one_of(st.integers(0, 40), st.integers(2**64 - 20, 2**64 + 20), st.integers(0, 2**128 - 1)).filter(
    lambda number: number >> 32 != 0xFFFF
)


@given(st.lists(st.tuples(_NUMBERS, _NUMBERS)), st.lists(st.tuples(_WIDE, _WIDE)), st.lists(_NUMBERS), st.lists(_WIDE))
def test_it_has_what_the_ranges_have_and_nothing_else(
    four: list[tuple[int, int]], six: list[tuple[int, int]], asked4: list[int], asked6: list[int]
) -> None:
    ranges = [AddressRange(False, min(pair), max(pair)) for pair in four]
    ranges += [AddressRange(True, min(pair), max(pair)) for pair in six]
    found = AddressSet(ranges)
    for size, numbers, is_ipv6 in ((4, asked4, False), (16, asked6, True)):
        edges = [edge for each in ranges if each.is_ipv6 is is_ipv6 for edge in (each.first, each.last)]
        near = [edge + step for edge in edges for step in (-1, 0, 1) if 0 <= edge + step < 256**size]
        for number in numbers + near:
            if is_ipv6 and number >> 32 == 0xFFFF:
                continue
            expected = any(each.is_ipv6 is is_ipv6 and each.first <= number <= each.last for each in ranges)
            assert found.has(number.to_bytes(size, "big")) is expected


def test_it_is_compact_equal_by_content_and_survives_pickling() -> None:
    rand = random.Random(5)
    ranges = [AddressRange(False, number, number) for number in (rand.getrandbits(32) for _ in range(100_000))]
    big = AddressSet(ranges)
    assert pickle.loads(pickle.dumps(big, pickle.HIGHEST_PROTOCOL)) == big
    assert len(pickle.dumps(big, pickle.HIGHEST_PROTOCOL)) < 1_000_000
    assert AddressSet(reversed(ranges)) == big != NOBODY
    assert of("10.0.0.0/9", "10.128.0.0/9") == of("10.0.0.0/8")
    assert len(of("10.0.0.0/9", "10.128.0.0/9", "::1")) == 2
    assert hash(of("::1")) == hash(of("::1"))
    assert not len(NOBODY)
    assert not NOBODY.has(b"\0\0\0\0")
    assert not NOBODY.has(bytes(16))
