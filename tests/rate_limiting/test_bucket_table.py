"""The table: bounded in size whatever comes, exact over workers up to one for each, and what it costs to be forgotten."""

from __future__ import annotations

import mmap
import multiprocessing
from time import monotonic

import pytest
from limiters import Clock, admitted, bucket, tables, window

from balance.rate_limiting.bucket_table import CELL_BYTES, SLOTS, WAYS, BucketTable, table_cells
from balance.rate_limiting.key_slots import KEPT, KeySlots
from balance.rate_limiting.sliding_window import SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket

WORKERS = 4


def _ask(memory: mmap.mmap, kind: str, own: int, until: float, answer: object) -> None:
    table = BucketTable(memoryview(memory), memoryview(bytes([WORKERS])), own, b"s")
    limiter: TokenBucket | SlidingWindow
    if kind == "bucket":
        limiter = TokenBucket(table, "r", 100.0, 20, monotonic)
    else:
        limiter = SlidingWindow(table, "r", 40, 0.25, monotonic)
    times = []
    while (now := monotonic()) < until:
        if limiter.admit(b"key"):
            times.append(now)
    answer.put(times)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_processes_admit_the_limit_and_at_most_one_each_besides(kind: str) -> None:
    memory = mmap.mmap(-1, CELL_BYTES * table_cells(WORKERS))
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    until = monotonic() + 1.2
    processes = [context.Process(target=_ask, args=(memory, kind, own, until, answers)) for own in range(WORKERS)]
    for process in processes:
        process.start()
    times = sorted(time for _ in processes for time in answers.get(timeout=20))
    for process in processes:
        process.join()
    for index, first in enumerate(times):
        if kind == "bucket":  # `now` is from just before the verdict, so spans may seem shorter than they were
            for more, last in enumerate(times[index:], 1):
                assert more <= 20 + 100 * (last - first + 0.05) + WORKERS
        else:
            assert sum(first <= each < first + 0.25 - 0.05 for each in times) <= 40 + WORKERS
    assert len(times) >= (60 if kind == "bucket" else 80)


def test_a_key_that_is_used_up_is_not_forgotten_for_others_that_are_used_less() -> None:
    clock, table = Clock(), tables(1)[0]
    limiter = bucket(clock, table, rate=0.001, burst=3)
    assert admitted(limiter, 9, b"victim") == 3
    for number in range(SLOTS + SLOTS // 8):
        limiter.admit(b"%d" % number)  # the table is full, each of these was asked for once
    assert not limiter.admit(b"victim")


@pytest.mark.long
def test_who_makes_up_keys_gets_no_more_than_one_for_every_way_under_the_first_one() -> None:
    clock, table = Clock(), tables(1)[0]
    limiter = bucket(clock, table, rate=0.0001, burst=1)
    spent, gained = 0, 0
    for number in range(SLOTS * 2):
        spent += limiter.admit(b"%d" % number)
        if number % 16 == 0:
            gained += limiter.admit(b"own")
    assert gained - 1 <= spent / (SLOTS / WAYS)  # as the others of its set must be used up first


class OneSet(BucketTable):
    """All keys meet in one set."""

    def hash(self, limit: bytes, key: bytes) -> int:
        return super().hash(limit, key) // SLOTS * SLOTS + 1


def test_a_new_key_in_the_place_of_another_begins_anew_whatever_limit_that_had() -> None:
    memory = memoryview(bytearray(CELL_BYTES * table_cells(2)))
    clock, (one, other) = Clock(), [OneSet(memory, memoryview(b"\x02"), own, b"s") for own in range(2)]
    for number in range(WAYS):
        assert admitted(bucket(clock, one, rate=0.001, burst=500), 200, b"%d" % number) == 200
        assert admitted(bucket(clock, other, rate=0.001, burst=500), 400, b"%d" % number) == 300
    for number in range(WAYS):
        assert admitted(window(clock, one, most=7, window_s=1e6), 9, b"%d" % number) == 7
    for number in range(WAYS):
        assert admitted(bucket(clock, other, rate=1e-6, burst=3), 2, b"new %d" % number) == 2
        assert admitted(bucket(clock, one, rate=1e-6, burst=3), 2, b"new %d" % number) == 1
    for number in range(WAYS):
        assert admitted(window(clock, other, most=7, window_s=1e9), 9, b"%d" % number) == 7


def test_memory_of_a_million_keys_is_that_of_the_table() -> None:
    clock, table = Clock(), tables(1)[0]
    slots = KeySlots(table, b"r")
    limiter = window(clock, table)
    limiter._slots = slots
    for number in range(20_000):
        limiter.admit(b"%d" % number)
        slots.find(b"%d" % number)
    assert len(slots.young) <= KEPT
    assert len(slots._old) <= KEPT


def test_a_long_key_is_remembered_by_its_hash() -> None:
    clock, table = Clock(), tables(1)[0]
    limiter = bucket(clock, table)
    key = b"x" * 30_000
    assert admitted(limiter, 9, key) == 5
    assert admitted(limiter, 9, key[:-1] + b"y") == 5
    assert all(len(each) <= 64 for each in limiter._slots.young)
