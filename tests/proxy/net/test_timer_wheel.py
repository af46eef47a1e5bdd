"""Deadlines on the wheel: never early, at most a tick late, and nothing is kept of what was forgotten."""

import random

import pytest

from balance.proxy.net.timer_wheel import HORIZON_S, NEVER, TICK_S, Timed, TimerWheel

START = 1000.0


class Item(Timed):
    """Notes when it expired, then does as told."""

    def __init__(self, deadline: float, then: float = NEVER) -> None:
        super().__init__()
        self.deadline = deadline
        self.then = then
        self.expired: list[float] = []
        self.given_up = 0

    def expire(self, now: float) -> None:
        self.expired.append(now)
        self.deadline = self.then

    def give_up(self) -> None:
        self.given_up += 1


class Crashing(Item):
    def expire(self, now: float) -> None:
        raise ValueError("a bug")


def turn_until(wheel: TimerWheel, now: float, end: float) -> None:
    while now < end:
        now += TICK_S
        wheel.turn(now)


def held(wheel: TimerWheel) -> int:
    return sum(len(bucket) for bucket in wheel._buckets.values())


@pytest.mark.parametrize("after_s", [0.0, 0.01, TICK_S, 0.3, HORIZON_S - 0.01, HORIZON_S, 2 * HORIZON_S + 0.123, 61.7])
def test_expires_once_not_early_and_at_most_two_ticks_late(after_s: float) -> None:
    wheel = TimerWheel(START)
    item = Item(START + after_s)
    wheel.watch(item, START)
    turn_until(wheel, START, START + after_s + 1)
    (at,) = item.expired
    assert START + after_s <= at <= START + after_s + 2 * TICK_S + 1e-6
    assert held(wheel) == 0


def test_deadline_moved_later_by_assignment_holds() -> None:
    wheel = TimerWheel(START)
    item = Item(START + 0.2)
    wheel.watch(item, START)
    wheel.turn(START + 0.1)
    item.deadline = START + 1.0
    turn_until(wheel, START + 0.1, START + 0.95)
    assert item.expired == []
    turn_until(wheel, START + 0.95, START + 1.2)
    assert len(item.expired) == 1


def test_deadline_moved_earlier_holds_when_watched_again() -> None:
    wheel = TimerWheel(START)
    item = Item(START + 4.0)
    wheel.watch(item, START)
    item.deadline = START + 0.5
    wheel.watch(item, START)
    turn_until(wheel, START, START + 0.7)
    assert len(item.expired) == 1
    assert held(wheel) == 0


def test_forgotten_item_is_neither_expired_nor_kept() -> None:
    wheel = TimerWheel(START)
    item = Item(START + 0.2)
    wheel.watch(item, START)
    wheel.forget(item)
    wheel.forget(item)
    assert held(wheel) == 0
    turn_until(wheel, START, START + 1)
    assert item.expired == []


def test_item_without_a_deadline_leaves_the_wheel_at_its_next_look() -> None:
    wheel = TimerWheel(START)
    item = Item(START + 0.2)
    wheel.watch(item, START)
    item.deadline = NEVER
    turn_until(wheel, START, START + 0.4)
    assert (item.expired, item.looked_at, held(wheel)) == ([], NEVER, 0)


def test_new_deadline_set_at_expiry_is_kept_without_watching() -> None:
    wheel = TimerWheel(START)
    item = Item(START + 0.2, then=START + 0.6)
    wheel.watch(item, START)
    turn_until(wheel, START, START + 0.5)
    item.then = NEVER
    turn_until(wheel, START + 0.5, START + 2)
    assert len(item.expired) == 2
    assert item.expired[1] >= START + 0.6


def test_item_that_sets_no_new_deadline_is_asked_at_every_tick() -> None:
    wheel = TimerWheel(START)
    item = Item(START, then=START)
    wheel.watch(item, START)
    turn_until(wheel, START, START + 10 * TICK_S)
    assert 8 <= len(item.expired) <= 10


def test_turn_after_a_long_standstill_expires_all_that_was_due() -> None:
    wheel = TimerWheel(START)
    items = [Item(START + after_s / 10) for after_s in range(100)]
    for item in items:
        wheel.watch(item, START)
    wheel.turn(START + 3600)
    assert [len(item.expired) for item in items] == [1] * 100


def test_crash_of_one_item_ends_that_item_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    wheel = TimerWheel(START)
    items = [Item(START + 0.1), Crashing(START + 0.1), Item(START + 0.1), Item(START + 0.5)]
    for item in items:
        wheel.watch(item, START)
    turn_until(wheel, START, START + 1)
    assert [len(item.expired) for item in items] == [1, 0, 1, 1]
    assert items[1].given_up == 1
    assert held(wheel) == 0
    assert "ValueError" in caplog.text


def test_a_hundred_thousand_short_lives_leave_nothing_behind() -> None:
    wheel = TimerWheel(START)
    now = START
    for number in range(100_000):
        now = START + number / 10_000
        item = Item(now + 10.0)
        wheel.watch(item, now)
        wheel.turn(now)
        wheel.forget(item)
    assert held(wheel) == 0
    assert len(wheel._buckets) <= HORIZON_S / TICK_S + 2


@pytest.mark.parametrize("seed", range(20))
def test_any_history_of_moves_expires_at_the_last_deadline(seed: int) -> None:
    rand = random.Random(seed)
    wheel = TimerWheel(START)
    items = [Item(START + rand.random() * 8) for _ in range(30)]
    for item in items:
        wheel.watch(item, START)
    now = START
    for _ in range(400):
        now += rand.random() * 0.05
        for item in rand.sample(items, 5):
            if not item.expired and item.deadline > now:
                item.deadline = now + rand.random() * 8
                if item.deadline < item.looked_at:
                    wheel.watch(item, now)
        before = {item: item.deadline for item in items if not item.expired}
        wheel.turn(now)
        for item, deadline in before.items():
            assert bool(item.expired) is (deadline <= now) or (not item.expired and now - deadline <= 2 * TICK_S)
    turn_until(wheel, now, now + 10)
    assert [len(item.expired) for item in items] == [1] * 30
    assert held(wheel) == 0
