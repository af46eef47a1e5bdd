"""Tells the event log what others did: reads the board now and then, and says what is otherwise than at the last look.

What control does itself it tells at once, where it does it.
"""

from __future__ import annotations

import asyncio
import time

from balance.admin.backends import phase_of
from balance.admin.state_view import Seen, StateView
from balance.admin.supervisor_orders import ReloadResult
from balance.config.overrides.difference import difference, summary
from balance.health.circuit_breaker import CAUSE, TOTAL_OPENINGS, BreakerState, Signal
from balance.health.readiness import Stage
from balance.health.states import State

LOOK_S = 1.0


class EventWatcher:
    """The first look tells nothing: whatever it sees was so before."""

    def __init__(self, view: StateView, control_restarts: int = 0) -> None:
        """`control_restarts` are those of instances before this one."""
        self._view = view
        self._control_restarts = view.board.control_restarts - control_restarts
        self._stage = view.board.stage
        self._worker_restarts = view.board.worker_restarts
        self._refused = view.board.reloads(ReloadResult.FAILURE)
        self._idle = view.board.reloads(ReloadResult.UNCHANGED)
        self._generation = max((each.number for each in view.generations()), default=0)
        self._breakers = self._breakers_now()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look from now on, for as long as the loop runs."""
        if restarts := self._control_restarts:
            text = f"the control process was replaced ({restarts} since the start); the log has what was before"
            self._view.events.tell("control", text, restarts=restarts)
        loop.call_later(LOOK_S, self._again, loop)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.look()
        loop.call_later(LOOK_S, self._again, loop)

    def look(self) -> None:
        """Tell what is new."""
        board, tell = self._view.board, self._view.events.tell
        if board.stage is not self._stage:
            self._stage = board.stage
            ready = "; /ready says no" if self._stage is Stage.DRAINING else ""
            tell("stage", f"the instance is {self._stage.word}{ready}", stage=self._stage.word)
        if board.worker_restarts != self._worker_restarts:
            count, self._worker_restarts = board.worker_restarts - self._worker_restarts, board.worker_restarts
            what = "a worker was replaced" if count == 1 else f"{count} workers were replaced"
            tell("worker", f"{what} ({self._worker_restarts} since the start)", restarts=self._worker_restarts)
        if board.reloads(ReloadResult.FAILURE) != self._refused:
            self._refused = board.reloads(ReloadResult.FAILURE)
            tell("reload", "a reload was refused; nothing changed, the log says why", result=ReloadResult.FAILURE.word)
        if board.reloads(ReloadResult.UNCHANGED) != self._idle:
            self._idle = board.reloads(ReloadResult.UNCHANGED)
            tell(
                "reload", f"a reload changed nothing; generation {board.generation} goes on", result=ReloadResult.UNCHANGED.word
            )
        self._tell_generations()
        self._tell_breakers()

    def _tell_generations(self) -> None:
        """Each that came since the last look, as far as it is remembered."""
        generations = self._view.generations()
        if not generations or generations[-1].number == self._generation:
            return
        before = None
        for each in generations:
            if each.number > self._generation:
                said = summary(difference(before.config, each.config)) if before else ""
                text = f"generation {each.number} is served ({each.origin})" + (f": {said}" if said else "")
                about = {"result": ReloadResult.SUCCESS.word, "generation": each.number, "origin": each.origin, "summary": said}
                self._view.events.tell("reload", text, **about)
            before = each
        self._generation = generations[-1].number

    def _tell_breakers(self) -> None:
        before, self._breakers = self._breakers, self._breakers_now()
        for (pool, name), (phase, opened, cause) in self._breakers.items():
            if before.get((pool, name), (BreakerState.CLOSED, opened, cause))[:2] == (phase, opened):
                continue
            why = Signal(cause).text
            text = f"the circuit breaker of backend {pool}/{name} is {phase.word}" + (f": {why}" if why else "")
            self._view.events.tell("breaker", text, pool=pool, name=name, state=phase.word, why=why, opened=opened)

    def _breakers_now(self) -> dict[tuple[str, str], tuple[BreakerState, int, int]]:
        now_us = time.monotonic_ns() // 1000
        found = {}
        for pool in self._view.config.pools:
            if not pool.breaker.enabled:
                continue
            for backend in pool.backends:
                seen = Seen(pool, backend, self._view.slots[pool.name, backend.name], State.UNKNOWN, 0.0)
                evidence = self._view.board.evidence(seen.slot)
                phase = phase_of(seen, self._view, now_us)
                found[pool.name, backend.name] = phase, evidence[TOTAL_OPENINGS], evidence[CAUSE]
        return found
