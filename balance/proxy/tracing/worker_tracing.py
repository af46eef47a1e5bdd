"""Gives a worker its tracer, and another one when a reload changes `tracing`; counts what became of spans."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from balance.background_tasks import spawn
from balance.config.model import Config
from balance.proxy.tracing.tracer import CLOSE_S, Tracer
from balance.proxy.worker_context import WorkerContext
from balance.runtime import counters

log: Final = logging.getLogger("balance.worker")


class WorkerTracing:
    """One for each worker."""

    __slots__ = ("_left", "_worker")

    def __init__(self, worker: WorkerContext, config: Config) -> None:
        self._worker = worker
        self._left: list[Tracer] = []  # replaced ones, that still send what they have
        self.use(config)

    def use(self, config: Config) -> None:
        """Trace by this configuration from now on. Requests under way end with the tracer that they began with."""
        worker, before = self._worker, self._worker.tracer
        if before is not None and config.tracing.enabled and before.serves(config):
            return
        after = Tracer(config, worker.loop, worker.rand) if config.tracing.enabled else None
        worker.tracer = after
        for each in self._left:
            each.successor = after
        if before is not None:
            before.successor = after
            self._left.append(before)
            spawn(self._leave(before), "the end of a tracer")

    async def _leave(self, tracer: Tracer) -> None:
        await tracer.exporter.close(CLOSE_S)
        await asyncio.sleep(0)
        self.count()
        if tracer in self._left:
            self._left.remove(tracer)

    def count(self) -> None:
        """Count what became of spans since the last call."""
        cells = self._worker.row.cells
        tracer = self._worker.tracer
        for each in (*self._left, *(() if tracer is None else (tracer,))):
            exported, dropped = each.take_counts()
            if exported:
                cells[counters.SPANS_EXPORTED] += exported
            if dropped:
                cells[counters.SPANS_DROPPED] += dropped

    async def close(self) -> None:
        """The worker ends: send what waits, within CLOSE_S."""
        if self._worker.tracer is not None:
            await self._worker.tracer.exporter.close(CLOSE_S)
        self.count()
