"""The queue: first come, first served, and bounded in number and time."""

from __future__ import annotations

import pytest

from balance.config.model import QueueConfig
from balance.runtime.queue import Queue


class Waiter:
    def __init__(self, name: str, told: list[str], *, is_choosy: bool = False) -> None:
        self.name = name
        self.is_choosy = is_choosy
        self.finds = True
        self._told = told

    def turn(self, now: float) -> bool:
        self._told.append(self.name)
        return self.finds

    def waited_too_long(self, now: float) -> None:
        self._told.append(f"{self.name} late")


@pytest.mark.parametrize(("size", "workers", "room"), [(128, 4, 32), (10, 4, 3), (1, 4, 1), (0, 4, 0), (5, 1, 5)])
def test_each_worker_has_its_part_of_the_size(size: int, workers: int, room: int) -> None:
    queue, told = Queue(QueueConfig(size), lambda: workers), list[str]()
    joined = [queue.join(Waiter("w", told), 0.0) for _ in range(room + 2)]
    assert joined == [True] * room + [False] * 2


def test_who_came_first_is_served_first_until_one_finds_nothing() -> None:
    queue, told = Queue(QueueConfig(), lambda: 1), list[str]()
    waiters = [Waiter(name, told) for name in "abcd"]
    for waiter in waiters:
        assert queue.join(waiter, 0.0)
    waiters[2].finds = False
    queue.serve(1.0)
    assert told == ["a", "b", "c"]
    assert list(queue.waiters) == waiters[2:]


def test_who_can_use_less_than_others_does_not_hold_them_up() -> None:
    queue, told = Queue(QueueConfig(), lambda: 1), list[str]()
    waiters = [Waiter("a", told, is_choosy=True), Waiter("b", told), Waiter("c", told)]
    waiters[0].finds = waiters[2].finds = False
    for waiter in waiters:
        queue.join(waiter, 0.0)
    queue.serve(1.0)
    assert told == ["a", "b", "c"]
    assert [waiter.name for waiter in (waiters[0], waiters[2])] == ["a", "c"]
    assert list(queue.waiters) == [waiters[0], waiters[2]]


def test_whose_time_is_over_is_told_so_and_the_others_wait_on() -> None:
    queue, told = Queue(QueueConfig(timeout_s=5.0), lambda: 1), list[str]()
    for at, name in enumerate("abc"):
        queue.join(Waiter(name, told), float(at))
    queue.expire(4.9)
    assert told == []
    queue.expire(6.0)
    assert told == ["a late", "b late"]
    assert len(queue.waiters) == 1


def test_who_leaves_is_forgotten() -> None:
    queue, told = Queue(QueueConfig(1), lambda: 1), list[str]()
    gone, other = Waiter("gone", told), Waiter("other", told)
    assert queue.join(gone, 2.0)
    assert not queue.join(other, 2.0)
    assert queue.leave(gone) == 2.0
    assert queue.leave(gone) is None
    assert queue.join(other, 3.0)
    queue.serve(3.0)
    assert told == ["other"]


def test_somebody_looks_after_the_queue_from_the_first_one_on() -> None:
    queue, told = Queue(QueueConfig(), lambda: 1), list[str]()
    looks: list[int] = []
    queue.watch = lambda: looks.append(len(queue.waiters))
    queue.join(Waiter("a", told), 0.0)
    queue.join(Waiter("b", told), 0.0)
    queue.serve(0.0)
    queue.join(Waiter("c", told), 0.0)
    assert looks == [1, 1]


def test_a_turn_that_crashes_ends_the_serving_and_not_the_queue() -> None:
    queue, told = Queue(QueueConfig(), lambda: 1), list[str]()

    class Broken(Waiter):
        def turn(self, now: float) -> bool:
            queue.leave(self)
            raise RuntimeError

    queue.join(Broken("x", told), 0.0)
    queue.join(Waiter("b", told), 0.0)
    with pytest.raises(RuntimeError):
        queue.serve(0.0)
    assert not queue.is_serving
    queue.serve(0.0)
    assert told == ["b"]


def test_who_joins_behind_those_that_can_use_less_gets_its_turn_at_once() -> None:
    queue, told = Queue(QueueConfig(), lambda: 1), list[str]()
    woken: list[int] = []
    queue.wake = lambda: woken.append(1)
    queue.join(Waiter("a", told, is_choosy=True), 0.0)
    assert woken == []
    queue.join(Waiter("b", told), 0.0)
    assert woken == [1]
