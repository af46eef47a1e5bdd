"""The blocks in shared memory: one writer, readers at their own pace."""

import ipaddress
import random

import pytest

from balance.access_lists.address_range import parse_range
from balance.access_lists.shared_blocks import ENTRIES, BlockWriter, FullError, SharedBlocks, new_cells
from balance.access_lists.timed_blocks import FOR_EVER, Network, network_of


def net(text: str) -> Network:
    return network_of(parse_range(text))


def test_readers_see_what_was_written_and_what_was_taken_back() -> None:
    cells = new_cells()
    reader, writer = SharedBlocks(cells), BlockWriter(cells)
    assert not reader.refresh()
    writer.block(net("192.0.2.1"), 50)
    writer.block(net("2001:db8::/32"), FOR_EVER)
    assert reader.refresh()
    assert not reader.refresh()
    assert sorted(reader.blocks) == sorted(writer.blocks) == [(net("192.0.2.1"), 50), (net("2001:db8::/32"), FOR_EVER)]
    assert reader.blocks.has(ipaddress.ip_address("2001:db8:5::").packed, 10**9)
    writer.block(net("192.0.2.1"), 90)
    assert writer.unblock(net("2001:db8::/32"))
    assert not writer.unblock(net("2001:db8::/32"))
    reader.refresh()
    assert list(reader.blocks) == [(net("192.0.2.1"), 90)]
    assert writer.expire(89) == []
    assert writer.expire(90) == [net("192.0.2.1")]
    reader.refresh()
    assert not reader.blocks


def test_a_new_writer_and_a_new_reader_go_on_with_what_is_there() -> None:
    cells = new_cells()
    BlockWriter(cells).block(net("10.0.0.0/8"), 7)
    assert list(SharedBlocks(cells).blocks) == [(net("10.0.0.0/8"), 7)]
    after = BlockWriter(cells)
    assert after.unblock(net("10.0.0.0/8"))
    assert not SharedBlocks(cells).blocks


def test_any_order_of_changes_ends_in_the_same_for_readers_near_and_far_behind() -> None:
    cells = new_cells()
    writer, near, far = BlockWriter(cells), SharedBlocks(cells), SharedBlocks(cells)
    rand = random.Random(3)
    for change in range(5000):
        network = Network(False, rand.randrange(300), 0)
        if rand.random() < 0.4:
            writer.unblock(network)
        else:
            writer.block(network, rand.randrange(1, 1000))
        if change % 7 == 0:
            near.refresh()
    for reader in (near, far):
        assert reader.refresh() or reader is near
        assert dict(reader.blocks) == dict(writer.blocks)
        assert len(dict(reader.blocks)) > 100


def test_there_is_room_for_so_many() -> None:
    writer = BlockWriter(new_cells())
    for number in range(ENTRIES):
        writer.block(Network(False, number, 0), 5)
    with pytest.raises(FullError, match=f"no more than {ENTRIES}"):
        writer.block(Network(False, ENTRIES, 0), 5)
    writer.block(Network(False, 2, 0), 6)  # an entry that is there is changed
    writer.expire(5)
    writer.block(Network(False, ENTRIES, 0), 9)
    assert len(dict(writer.blocks)) == 2
