"""Guessing costs time, for him who guesses alone."""

import pytest

from balance.admin.access.guess_limit import BURST, MAX_ADDRESSES, GuessLimit, limited_address


def test_ten_guesses_at_once_then_one_a_second() -> None:
    limit = GuessLimit()
    for _ in range(BURST):
        assert limit.wait_s("a", 100.0) == 0.0
        limit.count("a", 100.0)
    looked_at = []
    for now in (100.0, 100.5, 101.0, 101.9, 102.0, 109.0):
        looked_at.append(limit.wait_s("a", now) == 0.0)
        if looked_at[-1]:
            limit.count("a", now)
    assert looked_at == [False, False, True, False, True, True]


def test_nobody_waits_longer_than_a_second_after_the_last_guess() -> None:
    limit = GuessLimit()
    for now in range(300):
        for _ in range(30):
            if not limit.wait_s("a", float(now)):
                limit.count("a", float(now))
            assert limit.wait_s("a", float(now)) <= 1.0
    assert limit.wait_s("a", 300.0) == 0.0


def test_another_address_is_not_held_up() -> None:
    limit = GuessLimit()
    for _ in range(BURST):
        limit.count("a", 1.0)
    assert (limit.wait_s("a", 1.0), limit.wait_s("b", 1.0)) == (1.0, 0.0)


def test_a_million_addresses_take_no_more_memory_than_some() -> None:
    limit = GuessLimit()
    for number in range(2 * MAX_ADDRESSES):
        limit.count(str(number), 1.0)
    assert len(limit._paid_at) == MAX_ADDRESSES


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("what", "what"),
    ],
)
def test_a_client_is_its_address_or_its_64(host: str, counted: str) -> None:
    assert limited_address(host) == counted
