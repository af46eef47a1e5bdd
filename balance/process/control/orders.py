"""Sends an order of the admin API to the supervisor, and its result back to the request that waits."""

from __future__ import annotations

import asyncio

from balance.admin.supervisor_orders import Order, OrderResult
from balance.process.ipc.messages import ORDER
from balance.process.ipc.pipe import PipeEnd

RESULT_TIMEOUT_S = 120.0  # orders wait for each other


class SupervisorOrders:
    """Control's side."""

    def __init__(self, pipe_end: PipeEnd) -> None:
        self._pipe_end = pipe_end
        self._count = 0
        self._waiting: dict[int, asyncio.Future[OrderResult]] = {}

    async def submit_order(self, order: Order) -> OrderResult:
        """Submit an order and wait for its result; a timeout is a failed result."""
        self._count += 1
        number = self._count
        future: asyncio.Future[OrderResult] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            if not self._pipe_end.send(ORDER, (number, order)):
                return OrderResult(False, 0, problems=("the supervisor takes no orders",))
            async with asyncio.timeout(RESULT_TIMEOUT_S):
                return await future
        except TimeoutError:
            return OrderResult(False, 0, problems=(f"no verdict within {RESULT_TIMEOUT_S:g}s; the log says what became of it",))
        finally:
            del self._waiting[number]

    def on_result(self, number: int, order_result: OrderResult) -> None:
        """The supervisor has sent a result."""
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(order_result)
