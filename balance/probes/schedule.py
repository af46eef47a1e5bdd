"""When a backend is asked again, and what becomes of the answers: one task per backend, so a slow one delays nobody."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from balance.aio import spawn
from balance.config.model import BackendConfig, HealthCheck
from balance.health.thresholds import State, Thresholds, Transition
from balance.probes import PROBES
from balance.probes.result import Result

log = logging.getLogger("balance.health")


class Watch:
    """One backend under observation, from start() to stop()."""

    def __init__(
        self,
        check: HealthCheck,
        backend: BackendConfig,
        thresholds: Thresholds,
        changed: Callable[[Transition, float], None],
        rand: Callable[[], float] = random.random,
    ) -> None:
        """`changed` is called with each transition and the wall clock's time of it, on the event loop."""
        self.last: Result | None = None
        self._check = check
        self._backend = backend
        self._thresholds = thresholds
        self._changed = changed
        self._rand = rand
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        return self._thresholds.state

    def start(self, first_delay_s: float) -> None:
        """Ask for the first time after `first_delay_s`, then for ever."""
        self._task = spawn(self._ask_for_ever(first_delay_s), f"health check of {self._backend.name}")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _ask_for_ever(self, first_delay_s: float) -> None:
        await asyncio.sleep(first_delay_s)
        while True:
            self.last = await self._ask()
            now = time.time()  # the board and the status page show it, and a restart must understand it
            transition = self._thresholds.observe(self.last.is_ok, self.last.reason, now)
            if transition is not None:
                self._changed(transition, now)
            await asyncio.sleep(self._thresholds.next_delay_s(self._rand()))

    async def _ask(self) -> Result:
        try:
            return await PROBES[self._check.kind](self._check, self._backend.address)
        except Exception as error:  # a fault of the probe must not end the watch: the backend would keep its state for good
            log.exception("the %s probe of %s failed", self._check.kind, self._backend.name)
            return Result(False, f"the probe failed: {type(error).__name__}", 0.0)
