"""Where a client is, and how the requests of its region are shared out."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.config.route_model import Condition, Regions, Rule
from balance.routing.regions import MAX_CACHED, UNKNOWN, RegionFinder, judged_regions, level_shares, levels_of

CIDRS = (
    ("eu", (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))),
    ("us", (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("192.0.2.7/32"))),
    ("lab", (ipaddress.ip_network("10.1.2.0/24"),)),
)


class Atlas:
    """Countries by the first byte of an address."""

    def __init__(self) -> None:
        self.version = 1
        self.asked = 0
        self.codes = {1: ("DE", "EU"), 2: ("CH", "EU"), 3: ("", "AS"), 4: ("", "")}

    def find(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[str, str]:
        self.asked += 1
        return self.codes.get(address.packed[0], ("", ""))


@pytest.mark.parametrize(
    ("address", "region"),
    [
        ("10.2.3.4", "eu"),
        ("10.1.3.4", "us"),
        ("10.1.2.3", "lab"),
        ("192.0.2.7", "us"),
        ("192.0.2.8", UNKNOWN),
        ("2001:db8:1::5", "eu"),
        ("::ffff:10.1.2.3", "lab"),
        ("::ffff:192.0.2.8", UNKNOWN),
        ("fe80::1%eth0", UNKNOWN),
        ("127.0.0.1", UNKNOWN),
        ("", UNKNOWN),
        ("unknown", UNKNOWN),
    ],
)
def test_the_longest_network_wins_and_an_address_inside_ipv6_counts_as_what_it_is(address: str, region: str) -> None:
    finder = RegionFinder(Regions(cidrs=CIDRS))
    assert [finder.find(None, address) for _ in range(2)] == [region, region]


@pytest.mark.parametrize(
    ("told", "region"),
    [
        (b"eu", "eu"),
        (b"EU", "eu"),
        (b"asia", "asia"),
        (None, "us"),
        (b"", "us"),
        (b" ", "us"),
        (b"two words", "us"),
        (b"a/b", "us"),
        (b"x" * 101, "us"),
        (b"\xff\x00", "us"),
    ],
)
def test_what_a_trusted_proxy_says_counts_first_if_it_is_a_name(told: bytes | None, region: str) -> None:
    assert RegionFinder(Regions(cidrs=CIDRS)).find(told, "10.1.0.1") == region


@pytest.mark.parametrize(
    ("names", "address", "region"),
    [
        (["de", "eu"], "1.0.0.1", "de"),  # the country before the continent, as it is written in the file
        (["eu"], "1.0.0.1", "eu"),
        (["eu"], "2.0.0.1", "eu"),
        ([], "1.0.0.1", "DE"),
        (["eu"], "3.0.0.1", "AS"),
        (["eu"], "4.0.0.1", UNKNOWN),
        (["eu"], "10.1.2.3", "lab"),  # networks that the file names before the database
    ],
)
def test_a_country_is_a_region_where_one_has_its_name_else_its_continent(names: list[str], address: str, region: str) -> None:
    assert RegionFinder(Regions(cidrs=CIDRS[2:]), names, Atlas()).find(None, address) == region


def test_an_address_is_looked_up_once_until_the_data_change_and_memory_is_bounded() -> None:
    atlas = Atlas()
    finder = RegionFinder(Regions(), ["eu", "de"], atlas)
    assert [finder.find(None, "1.0.0.1") for _ in range(3)] == ["de"] * 3
    assert atlas.asked == 1
    atlas.codes[1], atlas.version = ("FR", "EU"), 2
    assert finder.find(None, "1.0.0.1") == "eu"
    for number in range(MAX_CACHED + 10):
        finder.find(None, f"5.0.{number // 256}.{number % 256}")
    assert len(finder._cached) <= MAX_CACHED


def test_regions_of_rules_are_known_too() -> None:
    rules = [
        Rule(Condition("not", conditions=(Condition("in", "region", value=("de", "fr")),)), "deny"),
        Rule(
            Condition("any", conditions=(Condition("equals", "region", value="us"), Condition("prefix", "path", value="/x"))),
            "x",
        ),
        Rule(Condition("exists", "region", value=True), "deny"),
    ]
    assert judged_regions(rules) == {"de", "fr", "us"}


@pytest.mark.parametrize(
    ("region", "fallback", "levels"),
    [
        ("eu", {"eu": ["us", "asia"]}, [{"eu", ""}, {"us"}, {"asia"}]),
        ("eu", {"*": ["us"]}, [{"eu", ""}, {"us"}]),
        ("us", {"*": ["us"]}, [{"us", ""}]),
        ("eu", {"eu": ["eu", "us", "us"]}, [{"eu", ""}, {"us"}]),
        ("eu", {"eu": []}, [{"eu", ""}]),
        ("eu", {}, [{"eu", ""}, {"us", "asia"}]),
        ("eu", {"us": ["eu"]}, [{"eu", ""}, {"us", "asia"}]),
        ("unknown", {"*": ["us"], "unknown": []}, [{"unknown", ""}]),
        ("unknown", {"*": ["us"]}, [{"unknown", ""}, {"us"}]),
    ],
)
def test_nearest_first_then_as_it_is_written(region: str, fallback: dict[str, list[str]], levels: list[set[str]]) -> None:
    assert [set(level) for level in levels_of(region, fallback, ["eu", "us", "asia"])] == levels


# The examples are those of Envoy's documentation of priority levels, with its factor 1.4.
@pytest.mark.parametrize(
    ("ready", "shares"),
    [
        ([100, 100], [100, 0]),
        ([72, 72], [100, 0]),
        ([71, 71], [99.4, 0.6]),
        ([50, 50], [70, 30]),
        ([25, 100], [35, 65]),
        ([25, 25], [50, 50]),
        ([0, 100], [0, 100]),
        ([100, 0], [100, 0]),
        ([20, 0], [100, 0]),
        ([0, 0], [0, 0]),
        ([25, 25, 100], [35, 35, 30]),
        ([25, 25, 20], [50 * 0.7, 35, 28]),
        ([0, 0, 1], [0, 0, 100]),
    ],
)
def test_a_level_takes_what_it_can_and_leaves_the_rest_to_the_next(ready: list[float], shares: list[float]) -> None:
    found = level_shares(ready, [100.0] * len(ready))
    if ready == [25, 25, 20]:  # 35 + 35 + 28 = 98: scaled up to 100
        shares = [35 / 0.98, 35 / 0.98, 28 / 0.98]
    assert [share * 100 for share in found] == pytest.approx(shares)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=6))
def test_all_is_shared_out_and_nothing_goes_where_nobody_is(levels: Sequence[tuple[int, int]]) -> None:
    ready = [float(min(some, whole)) for some, whole in levels]
    shares = level_shares(ready, [float(whole) for _, whole in levels])
    assert sum(shares) == pytest.approx(1.0 if any(ready) else 0.0)
    assert all(share >= 0 for share in shares)
    assert all(share == 0 for share, some in zip(shares, ready, strict=True) if not some)
