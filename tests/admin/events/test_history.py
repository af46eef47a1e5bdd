"""What happened is remembered for a while and told to those who listen; who does not is dropped."""

import asyncio

from balance.admin.events.history import HISTORY, MAX_SUBSCRIBERS, MAX_WAITING, EventLog


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_numbers_rise_with_the_clock_and_never_fall() -> None:
    clock = Clock()
    events = EventLog(clock)
    events.publish("a", "one")
    events.publish("a", "two")
    clock.now = 5.0  # set back
    events.publish("a", "three")
    clock.now = 2000.0
    events.publish("b", "four", more=1)
    assert [(each.number, each.text) for each in events.since(0)] == [
        (1_000_000, "one"),
        (1_000_001, "two"),
        (1_000_002, "three"),
        (2_000_000, "four"),
    ]
    assert [each.text for each in events.since(1_000_001)] == ["three", "four"]
    assert events.since(0)[-1].fields == {"more": 1}


def test_the_history_is_bounded() -> None:
    events = EventLog(Clock())
    for number in range(HISTORY + 50):
        events.publish("a", str(number))
    assert [each.text for each in events.since(0)] == [str(number) for number in range(50, HISTORY + 50)]


def test_a_subscriber_gets_a_replay_and_then_what_is_new() -> None:
    async def main() -> None:
        events = EventLog(Clock())
        events.publish("a", "old")
        first, second = events.subscribe(0), events.subscribe(None)
        assert first is not None
        assert second is not None
        events.publish("a", "new")
        assert [each.text for each in await first.next(5) or ()] == ["old", "new"]
        assert [each.text for each in await second.next(5) or ()] == ["new"]
        assert await first.next(0.001) == []

    asyncio.run(main())


def test_a_slow_subscriber_is_dropped_and_the_others_are_not() -> None:
    async def main() -> None:
        events, dropped = EventLog(Clock()), list[str]()
        slow, quick = events.subscribe(None, lambda: dropped.append("slow")), events.subscribe(None)
        assert slow is not None
        assert quick is not None
        for number in range(MAX_WAITING + 1):
            events.publish("a", str(number))
            assert await quick.next(5)
        assert dropped == ["slow"]
        assert await slow.next(5) is None
        events.publish("a", "after")
        assert await quick.next(5)

    asyncio.run(main())


def test_there_are_only_so_many_subscribers_and_one_that_leaves_makes_room() -> None:
    async def main() -> None:
        events = EventLog(Clock())
        subscriptions = [events.subscribe(None) for _ in range(MAX_SUBSCRIBERS)]
        assert events.subscribe(None) is None
        assert subscriptions[0] is not None
        with subscriptions[0]:
            pass
        assert events.subscribe(None) is not None
        events.close()
        assert subscriptions[1] is not None
        assert await subscriptions[1].next(5) is None

    asyncio.run(main())


def test_the_whole_history_fits_into_what_may_wait() -> None:
    assert HISTORY < MAX_WAITING


def test_what_was_told_before_the_end_is_still_read() -> None:
    async def main() -> None:
        events = EventLog()
        subscription = events.subscribe(None)
        assert subscription is not None
        with subscription:
            events.publish("stage", "the instance ends")
            events.close()
            last = await subscription.next(1.0)
            assert last is not None and [each.text for each in last] == ["the instance ends"]
            assert await subscription.next(1.0) is None

    asyncio.run(main())
