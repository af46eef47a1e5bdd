"""The queue of orders: runs one operation after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from balance.admin.supervisor_orders import Order, OrderResult
from balance.process.children.child import Child
from balance.process.ipc.pipe import Message
from balance.process.operations.operation import Operation

log = logging.getLogger("balance.process")

MAX_WAITING = 16  # orders
NEVER = float("inf")

OnResult = Callable[[OrderResult], None]


def log_only(order_result: OrderResult) -> None:
    """The result callback of a signal: the log has the result."""


class OperationQueue:
    """Every order gets exactly one result: its operation's, or a refusal."""

    __slots__ = ("_make_operation", "_on_operation_end", "_operation", "_waiting")

    def __init__(
        self, make_operation: Callable[[Order, str, OnResult], Operation], on_operation_end: Callable[[], object]
    ) -> None:
        """`make_operation` makes the operation for an order, its origin and its result callback; `on_operation_end` follows
        each.
        """
        self._make_operation = make_operation
        self._on_operation_end = on_operation_end
        self._operation: Operation | None = None
        self._waiting: deque[tuple[Order, str, OnResult]] = deque()

    @property
    def deadline(self) -> float:
        """When advance() is due, on the monotonic clock."""
        return NEVER if self._operation is None else self._operation.deadline

    def add(self, order: Order, origin: str, on_result: OnResult, generation: int) -> None:
        """Queue an order. Refused when MAX_WAITING orders wait."""
        if len(self._waiting) >= MAX_WAITING:
            on_result(OrderResult(False, generation, problems=(f"{MAX_WAITING} orders are waiting already",)))
        elif on_result is not log_only or all(waiting[:2] != (order, origin) for waiting in self._waiting):
            self._waiting.append((order, origin, on_result))  # a signal that came twice before it could be obeyed is one

    def advance(self, now: float, *, may_begin: bool) -> None:
        """Let the running operation time out, or start the next order."""
        while True:
            operation = self._operation
            if operation is not None and not operation.is_over and now >= operation.deadline:
                self._call_guarded(operation.on_deadline, now)
            if operation is not None:
                if not operation.is_over:
                    return
                self._operation = None
                self._on_operation_end()
            if not self._waiting or not may_begin:
                return
            self._operation = self._make_operation(*self._waiting.popleft())
            self._call_guarded(self._operation.start, now)

    def on_message(self, child: Child, message: Message, now: float) -> bool:
        """Pass a child's message on. False when no operation is running."""
        if self._operation is None:
            return False
        self._call_guarded(self._operation.on_message, child, message, now)
        return True

    def on_ready(self, child: Child, now: float) -> None:
        if self._operation is not None:
            self._call_guarded(self._operation.on_ready, child, now)

    def on_exit(self, child: Child, description: str, now: float) -> None:
        if self._operation is not None:
            self._call_guarded(self._operation.on_exit, child, description, now)

    def after_fork_in_child(self) -> None:
        """In a child: close what belongs to the running operation."""
        if self._operation is not None:
            self._operation.after_fork_in_child()

    def abort(self, why: str, generation: int) -> None:
        """Abort the running operation and refuse all waiting orders."""
        if self._operation is not None and not self._operation.is_over:
            self._call_guarded(self._operation.abort, why)
        while self._waiting:
            self._waiting.popleft()[2](OrderResult(False, generation, problems=(why,)))

    def _call_guarded(self, step: Callable[..., object], *args: object) -> None:
        """A bug in an operation aborts the operation, not the instance."""
        operation = self._operation
        assert operation is not None
        try:
            step(*args)
        except Exception as error:
            description = f"a bug: {type(error).__name__}: {error}"
            log.exception("%s in what was ordered; it is given up", description)
            try:
                operation.abort(description)
            except Exception:
                log.exception("and cannot even be given up")
            if not operation.is_over:
                self._operation = None
                self._on_operation_end()
