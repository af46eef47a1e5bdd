"""How an order of the admin port gets to the supervisor, and the verdict back to whoever waits for it."""

from __future__ import annotations

import asyncio

from balance.admin.supervisor_orders import Order, Verdict
from balance.process.ipc.messages import ORDER
from balance.process.ipc.pipe import PipeEnd

PATIENCE_S = 120.0  # orders wait for each other


class SupervisorOrders:
    """Control's side of it."""

    def __init__(self, end: PipeEnd) -> None:
        self._end = end
        self._count = 0
        self._waiting: dict[int, asyncio.Future[Verdict]] = {}

    async def steer(self, order: Order) -> Verdict:
        """Have it done. A refusal is a verdict too, and so is a supervisor that does not answer."""
        self._count += 1
        number = self._count
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            if not self._end.say(ORDER, (number, order)):
                return Verdict(False, 0, problems=("the supervisor takes no orders",))
            async with asyncio.timeout(PATIENCE_S):
                return await future
        except TimeoutError:
            return Verdict(False, 0, problems=(f"no verdict within {PATIENCE_S:g}s; the log says what became of it",))
        finally:
            del self._waiting[number]

    def heard(self, number: int, verdict: Verdict) -> None:
        """The supervisor's word."""
        future = self._waiting.get(number)
        if future is not None and not future.done():
            future.set_result(verdict)
