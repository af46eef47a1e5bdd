"""What was blocked at run time."""

import ipaddress

import pytest

from balance.access_lists.address_range import parse_range
from balance.access_lists.timed_blocks import FOR_EVER, Network, TimedBlocks, network_of


def net(text: str) -> Network:
    return network_of(parse_range(text))


def has(blocks: TimedBlocks, address: str, now: int = 0) -> bool:
    return blocks.has(ipaddress.ip_address(address).packed, now)


def test_a_block_holds_until_its_end() -> None:
    blocks = TimedBlocks()
    assert not blocks
    blocks.block(net("192.0.2.1"), 100)
    blocks.block(net("10.0.0.0/8"), FOR_EVER)
    blocks.block(net("2001:db8::/64"), 100)
    assert blocks
    assert has(blocks, "192.0.2.1", 99)
    assert has(blocks, "::ffff:192.0.2.1", 99)
    assert not has(blocks, "192.0.2.1", 100)
    assert not has(blocks, "192.0.2.2", 99)
    assert has(blocks, "10.200.0.1", 10**18)
    assert has(blocks, "2001:db8::ffff", 99)
    assert not has(blocks, "2001:db8:0:1::", 99)
    assert sorted(blocks) == sorted([(net("192.0.2.1"), 100), (net("10.0.0.0/8"), FOR_EVER), (net("2001:db8::/64"), 100)])


def test_a_block_is_ended_by_its_own_network_alone() -> None:
    blocks = TimedBlocks()
    blocks.block(net("10.0.0.0/8"), FOR_EVER)
    assert not blocks.unblock(net("10.0.0.1"))
    assert not blocks.unblock(net("11.0.0.0/8"))
    assert has(blocks, "10.0.0.1")
    assert blocks.unblock(net("10.0.0.0/8"))
    assert not blocks
    blocks.block(net("::1"), 5)
    blocks.clear()
    assert not blocks


@pytest.mark.parametrize("text", ["192.0.2.1-192.0.2.3", "192.0.2.1-192.0.2.2", "::1-::2"])
def test_a_range_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is a range"):
        net(text)


def test_a_network_may_be_written_as_a_range() -> None:
    assert net("10.0.0.0-10.255.255.255") == net("10.0.0.0/8")
