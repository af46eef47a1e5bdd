"""Runs the health checks of a backend periodically, in one task per backend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
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


class ProbeLoop:
    """The health checks of one backend, from start() to stop()."""

    def __init__(
        self,
        check: HealthCheck,
        backend: BackendConfig,
        status: BackendStatus,
        on_result: Callable[[Result], None],
        rand: Callable[[], float] = random.random,
        outage: Callable[[], int] = _no_outage,
    ) -> None:
        """`on_result` is called with each result, on the event loop; what it makes of `status` sets the pace, and so does an
        `outage` of the pool: how many backends it has while none is ready.
        """
        self.last: Result | None = None
        self._check = check
        self._backend = backend
        self._status = status
        self._on_result = on_result
        self._rand = rand
        self._outage = outage
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def start(self, first_delay_s: float) -> None:
        """Check for the first time after `first_delay_s`, then periodically."""
        self._task = spawn(self._run(first_delay_s), f"health check of {self._backend.name}")

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def probe_now(self) -> None:
        """Start the next check now."""
        self._wake.set()

    async def _run(self, delay_s: float) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()
            self._wake.clear()
            self.last = (await self._probe())._replace(at=time.time())
            self._on_result(self.last)
            explicit = self.last.is_explicit
            delay_s = next_delay_s(self._check, self._status, self._rand(), self._outage(), is_explicit=explicit)

    async def _probe(self) -> Result:
        try:
            return await PROBES[self._check.kind](self._check, self._backend)
        except Exception as error:  # a bug in a probe must not end the loop
            log.exception("the %s probe of %s failed", self._check.kind, self._backend.name)
            return Result(False, f"the probe failed: {type(error).__name__}", 0.0)
