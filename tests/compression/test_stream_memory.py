"""The bound on what encoders take."""

from __future__ import annotations

from balance.compression.stream_memory import WORKER, StreamMemory


def test_streams_open_while_there_is_room() -> None:
    memory = StreamMemory(10)
    assert [memory.take(4) for _ in range(3)] == [True, True, False]
    memory.give_back(4)
    assert memory.take(6)
    assert memory.used == memory.limit == 10


def test_a_worker_has_a_bound() -> None:
    assert 0 < WORKER.limit <= 1 << 28
