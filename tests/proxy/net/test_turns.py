"""Turns: everybody gets one after the other, the loop goes on in between, and one that fails ends itself alone."""

from __future__ import annotations

import asyncio
from time import monotonic

from balance.proxy.net.turns import TURN_S, Turns


class Taker:
    """Has so much work left; each turn of it takes `turn_s`."""

    def __init__(self, turns: Turns, name: str, left: int, log: list[str], turn_s: float = 0.0) -> None:
        self.turns, self.name, self.left, self.log, self.turn_s = turns, name, left, log, turn_s

    def take_turn(self) -> None:
        end = monotonic() + self.turn_s
        while monotonic() < end:
            pass
        self.log.append(self.name)
        self.left -= 1
        if not self.left:
            return
        self.turns.add(self)
        self.turns.add(self)  # no second one


async def ended(turns: Turns) -> int:
    """How many turns of the loop it took until nobody has work left."""
    loop, count, done = asyncio.get_running_loop(), 0, asyncio.Event()

    def look() -> None:
        nonlocal count
        count += 1
        loop.call_soon(look) if len(turns) else done.set()

    loop.call_soon(look)
    await done.wait()
    return count


def test_everybody_gets_one_turn_after_the_other() -> None:
    async def scenario() -> list[str]:
        turns, log = Turns(asyncio.get_running_loop()), list[str]()
        for name, left in (("a", 3), ("b", 1), ("c", 2)):
            turns.add(Taker(turns, name, left, log))
        await ended(turns)
        return log

    assert asyncio.run(scenario()) == ["a", "b", "c", "a", "c", "a"]


def test_between_turns_the_loop_goes_on() -> None:
    async def scenario() -> tuple[int, list[str]]:
        turns, log = Turns(asyncio.get_running_loop()), list[str]()
        for number in range(20):
            turns.add(Taker(turns, str(number), 1, log, turn_s=TURN_S))
        other = await ended(turns)
        return other, log

    other, log = asyncio.run(scenario())
    assert other >= 20  # each of them has used up its time
    assert log == [str(number) for number in range(20)]


def test_one_alone_goes_on_until_its_time_is_over() -> None:
    async def scenario() -> tuple[int, int]:
        turns, log = Turns(asyncio.get_running_loop()), list[str]()
        turns.add(Taker(turns, "a", 20, log, turn_s=TURN_S))
        slow = await ended(turns)
        turns.add(Taker(turns, "a", 20, log))
        return slow, await ended(turns)

    slow, quick = asyncio.run(scenario())
    assert slow == 20  # one each, not more and more
    assert quick < 20


def test_one_that_fails_is_told_and_others_go_on() -> None:
    class Broken:
        def take_turn(self) -> None:
            raise ValueError("broken")

    async def scenario() -> tuple[list[str], list[str]]:
        loop, told, log = asyncio.get_running_loop(), list[str](), list[str]()
        loop.set_exception_handler(lambda _, context: told.append(repr(context["exception"])))
        turns = Turns(loop)
        turns.add(Broken())
        turns.add(Taker(turns, "a", 1, log))
        await ended(turns)
        return told, log

    assert asyncio.run(scenario()) == (["ValueError('broken')"], ["a"])
