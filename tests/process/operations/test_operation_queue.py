"""Orders are carried out one after the other, and each is answered once."""

from __future__ import annotations

from balance.admin.supervisor_orders import Order, OrderResult, Reload, Restart
from balance.process.children.child import Child
from balance.process.ipc.pipe import Message
from balance.process.operations.operation import Operation
from balance.process.operations.operation_queue import MAX_WAITING, NEVER, OnResult, OperationQueue, log_only


class FakeOperation:
    """An undertaking that ends when it is told to, or when its time is over."""

    def __init__(self, name: str, on_result: OnResult) -> None:
        self.name = name
        self.on_result = on_result
        self.deadline = NEVER
        self.is_over = False
        self.events: list[object] = []

    def start(self, now: float) -> None:
        self.deadline = now + 10.0

    def on_message(self, child: Child, message: Message, now: float) -> None:
        self.events.append(message.kind)

    def on_ready(self, child: Child, now: float) -> None:
        self.events.append(child)

    def on_exit(self, child: Child, words: str, now: float) -> None:
        self.events.append(words)

    def on_deadline(self, now: float) -> None:
        self.end(f"{self.name} took too long")

    def abort(self, why: str) -> None:
        self.end(why)

    def after_fork_in_child(self) -> None:
        self.events.append("let go")

    def end(self, *problems: str) -> None:
        self.is_over = True
        self.on_result(OrderResult(not problems, 1, problems=problems))


class Queue:
    def __init__(self) -> None:
        self.operations_made: list[FakeOperation] = []
        self.ended = 0
        self.results: list[tuple[str, tuple[str, ...]]] = []
        self.operations = OperationQueue(self.start, self.count)

    def start(self, order: Order, origin: str, on_result: OnResult) -> Operation:
        self.operations_made.append(FakeOperation(origin, on_result))
        return self.operations_made[-1]

    def count(self) -> None:
        self.ended += 1

    def order(self, name: str) -> None:
        self.operations.add(Restart(), name, lambda order_result: self.results.append((name, order_result.problems)), 1)


def test_what_is_ordered_meanwhile_waits_for_its_turn() -> None:
    queue = Queue()
    for name in ("a", "b"):
        queue.order(name)
    queue.operations.advance(100.0, may_begin=True)
    assert [errand.name for errand in queue.operations_made] == ["a"]
    assert queue.operations.deadline == 110.0
    queue.operations_made[0].end()
    queue.operations.advance(101.0, may_begin=True)
    assert [errand.name for errand in queue.operations_made] == ["a", "b"]
    assert (queue.ended, queue.results, queue.operations.deadline) == (1, [("a", ())], 111.0)


def test_nothing_begins_before_it_may() -> None:
    queue = Queue()
    queue.order("a")
    queue.operations.advance(100.0, may_begin=False)
    assert (queue.operations_made, queue.operations.deadline) == ([], NEVER)


def test_one_that_takes_too_long_is_told_so_and_the_next_begins() -> None:
    queue = Queue()
    for name in ("a", "b"):
        queue.order(name)
    queue.operations.advance(100.0, may_begin=True)
    queue.operations.advance(110.0, may_begin=True)
    assert queue.results == [("a", ("a took too long",))]
    assert queue.operations_made[-1].name == "b"


def test_a_signal_that_came_twice_is_one_and_an_order_with_somebody_waiting_is_not() -> None:
    queue = Queue()
    for _ in range(3):
        queue.operations.add(Reload(), "SIGHUP", log_only, 1)
        queue.order("a")
    for _ in range(6):
        queue.operations.advance(100.0, may_begin=True)
        if queue.operations_made and not queue.operations_made[-1].is_over:
            queue.operations_made[-1].end()
    assert [errand.name for errand in queue.operations_made] == ["SIGHUP", "a", "a", "a"]


def test_a_signal_that_comes_while_the_first_is_obeyed_or_for_another_reason_is_obeyed_too() -> None:
    queue = Queue()
    for origin in ("SIGHUP", "the file has changed"):
        queue.operations.add(Reload(), origin, log_only, 1)
    queue.operations.advance(100.0, may_begin=True)
    queue.operations.add(Reload(), "SIGHUP", log_only, 1)  # it may be about what the first has not read
    queue.operations.add(Restart(), "SIGHUP", log_only, 1)
    for _ in range(4):
        queue.operations_made[-1].end()
        queue.operations.advance(101.0, may_begin=True)
    assert [errand.name for errand in queue.operations_made] == ["SIGHUP", "the file has changed", "SIGHUP", "SIGHUP"]


def test_too_many_orders_are_refused_at_once() -> None:
    queue = Queue()
    for _ in range(MAX_WAITING + 1):
        queue.order("a")
    assert queue.results == [("a", (f"{MAX_WAITING} orders are waiting already",))]


def test_at_the_end_every_order_is_refused() -> None:
    queue = Queue()
    for name in ("a", "b"):
        queue.order(name)
    queue.operations.advance(100.0, may_begin=True)
    queue.operations.abort("the end", 1)
    assert queue.results == [("a", ("the end",)), ("b", ("the end",))]
    queue.operations.abort("the end", 1)
    queue.operations.advance(101.0, may_begin=False)
    assert len(queue.results) == 2


def test_only_what_is_under_way_hears_of_children() -> None:
    queue = Queue()
    child, message = Child("worker 0"), Message("prepared", 2, ())
    assert not queue.operations.on_message(child, message, 100.0)
    queue.operations.on_ready(child, 100.0)
    queue.operations.on_exit(child, "gone", 100.0)
    queue.order("a")
    queue.operations.advance(100.0, may_begin=True)
    assert queue.operations.on_message(child, message, 100.0)
    queue.operations.on_ready(child, 100.0)
    queue.operations.on_exit(child, "gone", 100.0)
    queue.operations.after_fork_in_child()
    assert queue.operations_made[0].events == ["prepared", child, "gone", "let go"]


def test_a_bug_in_an_operation_aborts_it_and_not_the_instance() -> None:
    queue = Queue()
    for name in ("a", "b"):
        queue.order(name)
    queue.operations.advance(100.0, may_begin=True)

    def crash(*anything: object) -> None:
        raise ZeroDivisionError("by zero")

    queue.operations_made[0].on_message = crash  # type: ignore[method-assign]
    assert queue.operations.on_message(Child("worker 0"), Message("prepared", 2, ()), 100.0)
    assert queue.results == [("a", ("a bug: ZeroDivisionError: by zero",))]
    queue.operations.advance(101.0, may_begin=True)
    assert [errand.name for errand in queue.operations_made] == ["a", "b"]
    queue.operations_made[1].on_message = queue.operations_made[1].abort = crash  # type: ignore[method-assign]
    queue.operations.on_message(Child("worker 0"), Message("prepared", 2, ()), 102.0)
    assert (queue.ended, queue.operations.deadline) == (2, NEVER)
