"""When a backend is asked again, and who is told the answers: one task per backend, so a slow one delays nobody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from balance.background_tasks import spawn
from balance.config.model import BackendConfig, HealthCheck
from balance.health.backend_status import BackendStatus
from balance.health.probe_interval import next_delay_s
from balance.probes import PROBES
from balance.probes.result import Result

log = logging.getLogger("balance.health")


def _no_outage() -> int:
    return 0


class Watch:
    """One backend under observation, from start() to stop()."""

    def __init__(
        self,
        check: HealthCheck,
        backend: BackendConfig,
        standing: BackendStatus,
        answered: Callable[[Result], None],
        rand: Callable[[], float] = random.random,
        outage: Callable[[], int] = _no_outage,
    ) -> None:
        """`answered` is called with each result, on the event loop; what it makes of `standing` sets the pace, and so does an
        `outage` of the pool: how many backends it has while none is ready.
        """
        self.last: Result | None = None
        self._check = check
        self._backend = backend
        self._standing = standing
        self._answered = answered
        self._rand = rand
        self._outage = outage
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def start(self, first_delay_s: float) -> None:
        """Ask for the first time after `first_delay_s`, then for ever."""
        self._task = spawn(self._ask_for_ever(first_delay_s), f"health check of {self._backend.name}")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def ask_now(self) -> None:
        """Somebody waits for the answer."""
        self._hurry.set()

    async def _ask_for_ever(self, delay_s: float) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._hurry.wait()
            self._hurry.clear()
            self.last = await self._ask()
            self._answered(self.last)
            said_no = self.last.is_explicit
            delay_s = next_delay_s(self._check, self._standing, self._rand(), self._outage(), is_explicit=said_no)

    async def _ask(self) -> Result:
        try:
            return await PROBES[self._check.kind](self._check, self._backend)
        except Exception as error:  # a fault of the probe must not end the watch: the backend would keep its state for good
            log.exception("the %s probe of %s failed", self._check.kind, self._backend.name)
            return Result(False, f"the probe failed: {type(error).__name__}", 0.0)
