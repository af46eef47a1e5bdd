"""Has the supervisor serve what driver `process` has started, as it serves what discovery finds: laid over the pools, drained.

One order at a time; what changes meanwhile is the next one. The supervisor keeps the last sets, so that no restart of control
takes a backend out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from balance.admin.supervisor_orders import ChangeDiscovered, Order, OrderResult
from balance.background_tasks import spawn
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint

log = logging.getLogger("balance.autoscaler")

BY: Final = "autoscaler"
REST_S: Final = 0.1  # between two orders
RETRY_S: Final = 2.0  # after one that was refused


class StartedEndpoints:
    """Of all pools."""

    def __init__(self, submit_order: Callable[[Order], Awaitable[OrderResult]], sets: Iterable[DiscoveredPool]) -> None:
        """`sets` are served already."""
        self._submit_order = submit_order
        self._served = {each.pool: each.endpoints for each in sets if each.by == BY}
        self._wanted = dict(self._served)
        self._task: asyncio.Task[None] | None = None
        self._refusal = ""

    def served(self, pool: str) -> tuple[Endpoint, ...]:
        """What the workers know of."""
        return self._served.get(pool, ())

    def publish(self, pool: str, endpoints: Iterable[Endpoint]) -> None:
        """The backends of this pool that were started and serve, from now on."""
        self._wanted[pool] = tuple(sorted(endpoints, key=lambda each: each.key))
        if self._task is None and self._due():
            self._task = spawn(self._order(), "an order of an autoscaler")

    def close(self) -> None:
        """Control ends."""
        if self._task is not None:
            self._task.cancel()

    def _due(self) -> list[DiscoveredPool]:
        return [
            DiscoveredPool(pool, endpoints, by=BY)
            for pool, endpoints in self._wanted.items()
            if endpoints != self._served.get(pool, ())
        ]

    async def _order(self) -> None:
        try:
            while due := self._due():
                result = await self._submit_order(ChangeDiscovered(tuple(due)))
                refusal = "" if result.is_done else "; ".join(result.problems[:3]) or "refused"
                if result.is_done:
                    self._served |= {each.pool: each.endpoints for each in due}
                elif refusal != self._refusal:
                    log.warning("what was started is not served yet: %s", refusal)
                self._refusal = refusal
                await asyncio.sleep(RETRY_S if refusal else REST_S)
        finally:
            self._task = None
