"""Publishes what other processes did: polls shared memory, compares it with the last poll. Control publishes its own events
itself.
"""

from __future__ import annotations

import asyncio
import time

from balance.admin.backends import breaker_phase
from balance.admin.state_view import BackendView, StateView
from balance.admin.supervisor_orders import ReloadResult
from balance.config.overrides.difference import difference, summary
from balance.health.circuit_breaker import CAUSE, TOTAL_OPENINGS, BreakerState, Signal
from balance.health.readiness import Stage
from balance.health.states import State

POLL_INTERVAL_S = 1.0


class EventWatcher:
    """The first poll publishes nothing."""

    def __init__(self, view: StateView, control_restarts: int = 0) -> None:
        """`control_restarts` were counted before this instance."""
        self._view = view
        self._control_restarts = view.board.control_restarts - control_restarts
        self._stage = view.board.stage
        self._worker_restarts = view.board.worker_restarts
        self._failed_reloads = view.board.reloads(ReloadResult.FAILURE)
        self._unchanged_reloads = view.board.reloads(ReloadResult.UNCHANGED)
        self._generation = max((each.base for each in view.generations()), default=0)
        self._breakers = self._read_breakers()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Poll from now on."""
        if restarts := self._control_restarts:
            text = f"the control process was replaced ({restarts} since the start); the log has what was before"
            self._view.events.publish("control", text, restarts=restarts)
        self._view.events.look = self.poll
        loop.call_later(POLL_INTERVAL_S, self._poll_again, loop)

    def _poll_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.poll()
        loop.call_later(POLL_INTERVAL_S, self._poll_again, loop)

    def poll(self) -> None:
        """Publish what has changed."""
        board, publish = self._view.board, self._view.events.publish
        if board.stage is not self._stage:
            self._stage = board.stage
            ready = "; /ready says no" if self._stage is Stage.DRAINING else ""
            publish("stage", f"the instance is {self._stage.word}{ready}", stage=self._stage.word)
        if board.worker_restarts != self._worker_restarts:
            count, self._worker_restarts = board.worker_restarts - self._worker_restarts, board.worker_restarts
            what = "a worker was replaced" if count == 1 else f"{count} workers were replaced"
            publish("worker", f"{what} ({self._worker_restarts} since the start)", restarts=self._worker_restarts)
        if board.reloads(ReloadResult.FAILURE) != self._failed_reloads:
            self._failed_reloads = board.reloads(ReloadResult.FAILURE)
            publish("reload", "a reload was refused; nothing changed, the log says why", result=ReloadResult.FAILURE.word)
        if board.reloads(ReloadResult.UNCHANGED) != self._unchanged_reloads:
            self._unchanged_reloads = board.reloads(ReloadResult.UNCHANGED)
            publish(
                "reload", f"a reload changed nothing; generation {board.generation} goes on", result=ReloadResult.UNCHANGED.word
            )
        self._publish_generations()
        self._publish_breakers()

    def _publish_generations(self) -> None:
        """The generations since the last poll."""
        generations = self._view.generations()
        if not generations or generations[-1].base == self._generation:
            return
        before = None
        for each in generations:
            if each.base > self._generation:
                diff_summary = summary(difference(before.config, each.config)) if before else ""
                text = f"generation {each.number} is served ({each.origin})" + (f": {diff_summary}" if diff_summary else "")
                fields = {
                    "result": ReloadResult.SUCCESS.word,
                    "generation": each.number,
                    "origin": each.origin,
                    "summary": diff_summary,
                }
                self._view.events.publish("reload", text, **fields)
            before = each
        self._generation = generations[-1].base

    def _publish_breakers(self) -> None:
        before, self._breakers = self._breakers, self._read_breakers()
        for (pool, name), (phase, opened, cause) in self._breakers.items():
            if before.get((pool, name), (BreakerState.CLOSED, opened, cause))[:2] == (phase, opened):
                continue
            why = Signal(cause).text
            text = f"the circuit breaker of backend {pool}/{name} is {phase.word}" + (f": {why}" if why else "")
            self._view.events.publish("breaker", text, pool=pool, name=name, state=phase.word, why=why, opened=opened)

    def _read_breakers(self) -> dict[tuple[str, str], tuple[BreakerState, int, int]]:
        now_us = time.monotonic_ns() // 1000
        found = {}
        for pool in self._view.config.pools:
            if not pool.breaker.enabled:
                continue
            for backend in pool.backends:
                backend_view = BackendView(pool, backend, self._view.slots[pool.name, backend.name], State.UNKNOWN, 0.0)
                evidence = self._view.board.evidence(backend_view.slot)
                phase = breaker_phase(backend_view, self._view, now_us)
                found[pool.name, backend.name] = phase, evidence[TOTAL_OPENINGS], evidence[CAUSE]
        return found
