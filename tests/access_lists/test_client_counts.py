"""Counts of connections per client address, over workers."""

from __future__ import annotations

import ipaddress
import random

from balance.access_lists.client_counts import TABLE_BYTES, ClientCounts, clear


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


class Machine:
    """Workers over one memory."""

    def __init__(self, count: int) -> None:
        self.tables = [memoryview(bytearray(TABLE_BYTES)) for _ in range(count + 1)]  # and one that nobody uses
        self.workers = [ClientCounts(self.tables, table, b"key") for table in self.tables[:count]]


def test_connections_are_those_of_all_workers() -> None:
    a, b = Machine(2).workers
    place, other = a.place(packed("192.0.2.1")), a.place(packed("192.0.2.2"))
    for _ in range(3):
        a.add(place, 10.0)
    b.add(place, 10.0)
    b.add(other, 10.0)
    assert [worker.connections(place, 10.0) for worker in (a, b)] == [4, 4]
    assert a.connections(other, 10.0) == 1
    b.leave(place)
    a.leave(place)
    assert a.connections(place, 10.0) == 2


def test_the_rate_is_that_of_the_last_second() -> None:
    a, b = Machine(2).workers
    place = a.place(packed("192.0.2.1"))
    for worker in (a, b, b, b):
        worker.add(place, 10.5)
        worker.leave(place)
    assert a.opened(place, 10.9) == 4
    assert a.opened(place, 11.0) == 4
    assert a.opened(place, 11.5) == 2
    a.add(place, 11.5)
    assert a.opened(place, 11.75) == 2
    assert b.opened(place, 12.0) == 1
    assert b.opened(place, 13.0) == 0
    b.add(place, 14.0)  # the sketch of the second 12 is used again
    assert a.opened(place, 14.0) == 1
    assert a.connections(place, 14.0) == 2


def test_ipv6_clients_count_by_their_64_and_mapped_ones_as_ipv4() -> None:
    (counts,) = Machine(1).workers
    assert counts.place(packed("2001:db8::1")) == counts.place(packed("2001:db8::ffff:1"))
    assert counts.place(packed("2001:db8::1")) != counts.place(packed("2001:db8:0:1::1"))
    assert counts.place(packed("::ffff:192.0.2.1")) == counts.place(packed("192.0.2.1"))


def test_a_worker_that_is_gone_has_no_connections() -> None:
    machine = Machine(2)
    a, b = machine.workers
    place = a.place(packed("192.0.2.1"))
    a.add(place, 10.0)
    b.add(place, 10.0)
    clear(machine.tables[1])
    clear(machine.tables[2])
    assert a.connections(place, 11.0) == 1
    ClientCounts(machine.tables, machine.tables[0], b"key")  # its successor
    assert b.connections(place, 12.0) == 0


def test_a_million_addresses_take_no_more_memory_and_none_is_counted_too_low() -> None:
    (counts,) = Machine(1).workers
    rand = random.Random(1)
    heavy = counts.place(packed("192.0.2.1"))
    for _ in range(100):
        counts.add(heavy, 5.0)
    places = [counts.place(rand.randbytes(4)) for _ in range(20_000)]
    for place in places:
        counts.add(place, 5.0)
    assert counts.connections(heavy, 5.0) >= 100
    found = [counts.connections(place, 5.0) for place in places]
    assert min(found) >= 1
    assert sum(each > 3 for each in found) < 20  # counted too high
    for _ in range(100):
        counts.leave(heavy)
    for place in places:
        counts.leave(place)
    assert counts.connections(heavy, 5.0) == 0


def test_a_worker_that_has_just_begun_is_counted_at_once() -> None:
    tables = [memoryview(bytearray(TABLE_BYTES)) for _ in range(3)]
    first = ClientCounts(tables, tables[0], b"k" * 16)
    place = first.place(b"\xc0\x00\x02\x01")
    assert first.connections(place, 7.1) == 0
    second = ClientCounts(tables, tables[2], b"k" * 16)
    second.add(place, 7.2)
    assert (first.connections(place, 7.3), second.connections(place, 7.3)) == (1, 1)
    assert first.opened(place, 7.3) == 1
