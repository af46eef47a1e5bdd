"""What the lists of a listener say of an address."""

import ipaddress

import pytest

from balance.access_lists.access_lists import AccessLists, ListFile
from balance.access_lists.address_range import parse_range
from balance.access_lists.address_set import AddressSet


def of(*entries: str) -> AddressSet:
    return AddressSet(map(parse_range, entries))


ALLOW = AccessLists(allowed=of("10.0.0.0/8"), blocked=of("10.0.0.66"))
ALLOW_FILES = AccessLists(allow_files=(ListFile("office.txt", of("10.0.0.0/8")), ListFile("vpn.txt", of("192.0.2.0/24"))))
BLOCK = AccessLists(blocked=of("10.0.0.66"), block_files=(ListFile("drop.txt", of("192.0.2.0/24", "2001:db8::/32")),))


@pytest.mark.parametrize(
    ("lists", "address", "is_admitted"),
    [
        (AccessLists(), "10.0.0.1", True),
        (ALLOW, "10.0.0.1", True),
        (ALLOW, "10.0.0.66", False),
        (ALLOW, "11.0.0.1", False),
        (ALLOW, "::1", False),
        (ALLOW_FILES, "10.0.0.1", True),
        (ALLOW_FILES, "192.0.2.9", True),
        (ALLOW_FILES, "192.0.3.9", False),
        (BLOCK, "10.0.0.1", True),
        (BLOCK, "10.0.0.66", False),
        (BLOCK, "::ffff:10.0.0.66", False),
        (BLOCK, "192.0.2.200", False),
        (BLOCK, "2001:db8:1::", False),
        (AccessLists(allowed=of()), "10.0.0.1", False),
    ],
)
def test_blocked_ones_win_and_an_allow_list_admits_its_own_alone(lists: AccessLists, address: str, is_admitted: bool) -> None:
    assert lists.admits(ipaddress.ip_address(address).packed) is is_admitted


def test_an_unknown_address_is_on_no_allow_list() -> None:
    assert not ALLOW.admits_unknown
    assert not ALLOW_FILES.admits_unknown
    assert BLOCK.admits_unknown
    assert [bool(lists) for lists in (AccessLists(), ALLOW, ALLOW_FILES, BLOCK)] == [False, True, True, True]
    assert [str(file) for file in (*ALLOW_FILES.files, *BLOCK.files)] == [
        "office.txt (1 ranges)", "vpn.txt (1 ranges)", "drop.txt (2 ranges)"
    ]  # fmt: skip
