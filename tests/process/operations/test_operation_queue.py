"""Orders are carried out one after the other, and each is answered once."""

from __future__ import annotations

from balance.admin.supervisor_orders import Order, OrderResult, Reload, Restart
from balance.process.children.child import Child
from balance.process.ipc.pipe import Message
from balance.process.operations.operation import Operation
from balance.process.operations.operation_queue import MAX_WAITING, NEVER, OnResult, OperationQueue, log_only


class Errand:
    """An undertaking that ends when it is told to, or when its time is over."""

    def __init__(self, name: str, on_result: OnResult) -> None:
        self.name = name
        self.on_result = on_result
        self.deadline = NEVER
        self.is_over = False
        self.told: list[object] = []

    def start(self, now: float) -> None:
        self.deadline = now + 10.0

    def on_message(self, child: Child, message: Message, now: float) -> None:
        self.told.append(message.kind)

    def on_ready(self, child: Child, now: float) -> None:
        self.told.append(child)

    def on_exit(self, child: Child, words: str, now: float) -> None:
        self.told.append(words)

    def on_deadline(self, now: float) -> None:
        self.end(f"{self.name} took too long")

    def abort(self, why: str) -> None:
        self.end(why)

    def after_fork_in_child(self) -> None:
        self.told.append("let go")

    def end(self, *problems: str) -> None:
        self.is_over = True
        self.on_result(OrderResult(not problems, 1, problems=problems))


class Day:
    def __init__(self) -> None:
        self.errands: list[Errand] = []
        self.ended = 0
        self.answers: list[tuple[str, tuple[str, ...]]] = []
        self.operations = OperationQueue(self.start, self.count)

    def start(self, order: Order, origin: str, on_result: OnResult) -> Operation:
        self.errands.append(Errand(origin, on_result))
        return self.errands[-1]

    def count(self) -> None:
        self.ended += 1

    def order(self, name: str) -> None:
        self.operations.add(Restart(), name, lambda verdict: self.answers.append((name, verdict.problems)), 1)


def test_what_is_ordered_meanwhile_waits_for_its_turn() -> None:
    day = Day()
    for name in ("a", "b"):
        day.order(name)
    day.operations.advance(100.0, may_begin=True)
    assert [errand.name for errand in day.errands] == ["a"]
    assert day.operations.deadline == 110.0
    day.errands[0].end()
    day.operations.advance(101.0, may_begin=True)
    assert [errand.name for errand in day.errands] == ["a", "b"]
    assert (day.ended, day.answers, day.operations.deadline) == (1, [("a", ())], 111.0)


def test_nothing_begins_before_it_may() -> None:
    day = Day()
    day.order("a")
    day.operations.advance(100.0, may_begin=False)
    assert (day.errands, day.operations.deadline) == ([], NEVER)


def test_one_that_takes_too_long_is_told_so_and_the_next_begins() -> None:
    day = Day()
    for name in ("a", "b"):
        day.order(name)
    day.operations.advance(100.0, may_begin=True)
    day.operations.advance(110.0, may_begin=True)
    assert day.answers == [("a", ("a took too long",))]
    assert day.errands[-1].name == "b"


def test_a_signal_that_came_twice_is_one_and_an_order_with_somebody_waiting_is_not() -> None:
    day = Day()
    for _ in range(3):
        day.operations.add(Reload(), "SIGHUP", log_only, 1)
        day.order("a")
    for _ in range(6):
        day.operations.advance(100.0, may_begin=True)
        if day.errands and not day.errands[-1].is_over:
            day.errands[-1].end()
    assert [errand.name for errand in day.errands] == ["SIGHUP", "a", "a", "a"]


def test_a_signal_that_comes_while_the_first_is_obeyed_or_for_another_reason_is_obeyed_too() -> None:
    day = Day()
    for origin in ("SIGHUP", "the file has changed"):
        day.operations.add(Reload(), origin, log_only, 1)
    day.operations.advance(100.0, may_begin=True)
    day.operations.add(Reload(), "SIGHUP", log_only, 1)  # it may be about what the first has not read
    day.operations.add(Restart(), "SIGHUP", log_only, 1)
    for _ in range(4):
        day.errands[-1].end()
        day.operations.advance(101.0, may_begin=True)
    assert [errand.name for errand in day.errands] == ["SIGHUP", "the file has changed", "SIGHUP", "SIGHUP"]


def test_too_many_orders_are_refused_at_once() -> None:
    day = Day()
    for _ in range(MAX_WAITING + 1):
        day.order("a")
    assert day.answers == [("a", (f"{MAX_WAITING} orders are waiting already",))]


def test_at_the_end_everybody_is_told_that_nothing_comes_of_it() -> None:
    day = Day()
    for name in ("a", "b"):
        day.order(name)
    day.operations.advance(100.0, may_begin=True)
    day.operations.abort("the end", 1)
    assert day.answers == [("a", ("the end",)), ("b", ("the end",))]
    day.operations.abort("the end", 1)
    day.operations.advance(101.0, may_begin=False)
    assert len(day.answers) == 2


def test_only_what_is_under_way_hears_of_children() -> None:
    day = Day()
    child, message = Child("worker 0"), Message("prepared", 2, ())
    assert not day.operations.on_message(child, message, 100.0)
    day.operations.on_ready(child, 100.0)
    day.operations.on_exit(child, "gone", 100.0)
    day.order("a")
    day.operations.advance(100.0, may_begin=True)
    assert day.operations.on_message(child, message, 100.0)
    day.operations.on_ready(child, 100.0)
    day.operations.on_exit(child, "gone", 100.0)
    day.operations.after_fork_in_child()
    assert day.errands[0].told == ["prepared", child, "gone", "let go"]


def test_a_bug_in_an_undertaking_ends_it_and_not_the_instance() -> None:
    day = Day()
    for name in ("a", "b"):
        day.order(name)
    day.operations.advance(100.0, may_begin=True)

    def crash(*anything: object) -> None:
        raise ZeroDivisionError("by zero")

    day.errands[0].on_message = crash  # type: ignore[method-assign]
    assert day.operations.on_message(Child("worker 0"), Message("prepared", 2, ()), 100.0)
    assert day.answers == [("a", ("a bug: ZeroDivisionError: by zero",))]
    day.operations.advance(101.0, may_begin=True)
    assert [errand.name for errand in day.errands] == ["a", "b"]
    day.errands[1].on_message = day.errands[1].abort = crash  # type: ignore[method-assign]
    day.operations.on_message(Child("worker 0"), Message("prepared", 2, ()), 102.0)
    assert (day.ended, day.operations.deadline) == (2, NEVER)
