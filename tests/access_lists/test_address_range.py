"""One entry of an access list."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.access_lists.address_range import AddressRange, parse_range, unmapped


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0", "192.0.2.255"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("192.0.2.1/32", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.10-192.0.2.20", "192.0.2.10", "192.0.2.20"),
        ("192.0.2.10 - 192.0.2.20", "192.0.2.10", "192.0.2.20"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0", "10.255.255.255"),
        ("2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:DB8::1", "2001:db8::1", "2001:db8::1"),
        ("2001:db8::1-2001:db8::ff", "2001:db8::1", "2001:db8::ff"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_entry_is_all_addresses_from_first_to_last(text: str, first: str, last: str) -> None:
    low = ipaddress.ip_address(first)
    assert parse_range(text) == AddressRange(low.version == 6, int(low), int(ipaddress.ip_address(last)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.1/8", "bits set beyond its prefix; write 10.0.0.0/8"),
        ("2001:db8::1/32", "write 2001:db8::/32"),
        ("010.0.0.1", "not an address"),
        ("10.0.0.0/255.0.0.0", "number of bits"),
        ("10.0.0.0/0.255.255.255", "number of bits"),
        ("10.0.0.0/33", "0 to 32"),
        ("10.0.0.0/", "number of bits"),
        ("10.0.0.0/-1", "not an address"),
        ("10.0.0.0/٣", "number of bits"),
        ("10.0.0", "not an address"),
        ("10.0.0.1:80", "not an address"),
        ("fe80::1%eth0", "not an address"),
        ("example.org", "not an address"),
        ("10.0.0.9-10.0.0.1", "ends before it begins"),
        ("10.0.0.1-::2", "other"),
        ("10.0.0.1-", "not an address"),
        ("", "not an address"),
        ("1.2.3.4\0", "not an address"),
        ("x" * 10_000, "not an address"),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_range(text)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@given(st.ip_addresses())
def test_every_address_is_a_range_of_one(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    found = parse_range(str(address))
    assert found.first == found.last
    packed = unmapped(address.packed)
    assert (found.is_ipv6, found.first) == (len(packed) == 16, int.from_bytes(packed, "big"))


@given(st.text())
def test_any_text_is_an_entry_or_a_value_error(text: str) -> None:
    try:
        parse_range(text)
    except ValueError as error:
        assert str(error)
