"""A worker's view of backend health: reads states and circuit breakers from shared memory on a wakeup, and updates the pools.

In the other direction, a breaker that this worker has moved is logged and the other workers are woken; failures wake control.
Breakers work without control; ejection waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from time import monotonic

from balance.access_lists.client_counts import ClientCounts
from balance.health.circuit_breaker import STATE, UNTIL_US, BreakerChange, BreakerState
from balance.health.states import State
from balance.process import state_log
from balance.process.children.child_context import ChildContext
from balance.process.ipc.wakeup import Wakeup, WakeupReason
from balance.process.shared_memory.board import Board
from balance.proxy.listener_server import ListenerServer
from balance.rate_limiting.bucket_table import BucketTable
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.health_gate import Shared
from balance.runtime.pool import Pool
from balance.runtime.pool_health import PoolHealth
from balance.runtime.pool_limits import PoolLimits
from balance.runtime.snapshot import Snapshot
from balance.security.key_set import KeySets

log = logging.getLogger("balance.worker")

FAILURE_REPORT_INTERVAL_S = 0.02  # control is woken this often at most


class HealthView:
    """One per worker. refresh() may be called at any time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: ChildContext, row: int, key_sets: KeySets | None = None
    ) -> None:
        """`row` is the worker's own row; `key_sets` its keys of tokens by URL."""
        self._loop = loop
        self._board: Board = context.board
        self._row = row
        self._wakeups: Sequence[Wakeup] = context.wakeups
        self._backends: dict[int, tuple[Pool, PoolHealth, Backend]] = {}
        self._ungated_slots: list[int] = []
        self._limits: list[PoolLimits] = []
        self._listener_server: ListenerServer | None = None
        self._states: list[int] = []  # as applied
        self._phases: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._reported_at = 0.0
        self._is_reporting = False
        self._is_swapping = False
        self._applied_us = 0
        self.shared = Shared(
            context.board.rows,
            context.board.evidence,
            context.locks,
            self._on_breaker_change,
            self._on_failure,
            self._wake_workers_where,
            context.board.sessions,
            context.board.session_key,
            context.board.blocks,
            self._client_counts,
            self._buckets,
            monotonic,
            (key_sets or KeySets.of_nobody()).get,
        )

    def _client_counts(self) -> ClientCounts:
        board = self._board
        return ClientCounts(board.client_counts, board.client_counts[self._row], board.session_key)

    def _buckets(self) -> BucketTable:
        board = self._board
        return BucketTable(board.buckets, board.rows_in_use, self._row, board.session_key)

    def begin(self, snapshot: Snapshot, listener_server: ListenerServer) -> None:
        """Apply the states for the first time."""
        self._listener_server = listener_server
        for _ in self.prime(snapshot, list(snapshot.pools.values())):
            pass
        for pool in snapshot.pools.values():
            pool.rebuild()
        self.swap_done()

    def prime(self, snapshot: Snapshot, pools: Sequence[Pool]) -> Iterator[None]:
        """Set the states of a snapshot's new pools before it is served, one backend per step. Their rebuild() and then
        swap_done() are due; refresh() does nothing until then.
        """
        self._is_swapping = True
        self._backends = {}
        self._ungated_slots = []
        self._limits = [pool.limits for pool in snapshot.pools.values() if pool.limits is not None]
        states, phases = self._board.states(), self._read_breaker_phases()
        self._states += states[len(self._states) :]
        self._phases += phases[len(self._phases) :]
        new = {pool.name for pool in pools}
        for name, pool in snapshot.pools.items():
            health = pool.health
            for backend in pool.backends if name in new else ():
                slot = backend.slot
                self._states[slot], self._phases[slot] = states[slot], phases[slot]
                if health is not None:
                    health.update(backend, State(states[slot]), BreakerState(phases[slot]), None)
                else:
                    backend.is_ready = State(states[slot]).is_ready
                    backend.load.handicap = 1.0  # a breaker may have set it that is gone now
                yield
            if health is not None:
                self._backends |= {backend.slot: (pool, health, backend) for backend in pool.backends}
            else:
                self._ungated_slots += [backend.slot for backend in pool.backends]

    def on_wakeup(self) -> None:
        """Read what the wakeup announces."""
        messages = self._wakeups[self._row].received_by_worker()
        if WakeupReason.BACKEND_STATES in messages:
            self.refresh()
        if WakeupReason.PERMITS in messages:
            for limits in self._limits:
                limits.look()
            if self._listener_server is not None:
                self._listener_server.look_at_clients()

    def refresh_if_changed(self) -> int:
        """Apply changes that came without a wakeup (another instance's control). Returns the time of the applied states."""
        if self._board.states_changed_us != self._applied_us:
            self.refresh()
        return self._applied_us

    def swap_done(self) -> None:
        """The primed snapshot is served."""
        self._is_swapping = False
        self.refresh()

    def refresh(self) -> None:
        """Read shared memory and apply what has changed."""
        assert self._listener_server is not None
        if self._is_swapping:
            return
        now, applied_us = monotonic(), self._board.states_changed_us  # read first: what is written meanwhile is newer
        states, phases = self._board.states(), self._read_breaker_phases()
        known = len(self._states)  # backends that come have later slots, and foresee() has looked at them
        before, was = self._states + states[known:], self._phases + phases[known:]
        if states != before:
            for slot in self._ungated_slots:
                if states[slot] != before[slot]:
                    self._listener_server.set_ready(slot, State(states[slot]).is_ready)
        changed: dict[Pool, list[Backend]] = {}
        if self._backends and (states != before or phases != was):
            for slot, (pool, health, backend) in self._backends.items():
                if states[slot] != before[slot] or phases[slot] != was[slot]:
                    health.update(backend, State(states[slot]), BreakerState(phases[slot]), now)
                    changed.setdefault(pool, []).append(backend)
        self._states, self._phases = states, phases
        self._applied_us = applied_us
        for pool in changed:
            pool.rebuild()
            for backend in pool.backends:
                if not backend.is_ready:
                    for parked in list(backend.idle):
                        parked.discard()

    def _read_breaker_phases(self) -> list[int]:
        """Every breaker's phase; OPEN past its time counts as HALF_OPEN. Sets a timer for the next one."""
        phases = self._board.evidence_column(STATE)
        if BreakerState.OPEN not in phases:
            return phases
        now_us = int(monotonic() * 1e6)
        until_us = self._board.evidence_column(UNTIL_US)
        waits = []
        for slot, phase in enumerate(phases):
            if phase == BreakerState.OPEN:
                if now_us >= until_us[slot]:
                    phases[slot] = int(BreakerState.HALF_OPEN)
                else:
                    waits.append(until_us[slot] - now_us)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(min(waits) / 1e6 + 0.001, self.refresh) if waits else None
        return phases

    def _on_breaker_change(self, slot: int, change: BreakerChange) -> None:
        """This worker has moved a breaker, while handling a request."""
        for index, row in enumerate(self._board.rows):
            if index != self._row and row[counters.PLACE]:
                self._wakeups[index].wake_worker(WakeupReason.BACKEND_STATES)
        known = self._backends.get(slot)
        name = f"{known[0].name}/{known[2].name} ({known[2].address})" if known else "that is removed"
        state_log.log_breaker(log, f"backend {name}", change)
        self._loop.call_soon(self.refresh)

    def _wake_workers_where(self, cell: int) -> None:
        """Wake the other workers whose row has that cell set, about permits."""
        for index, row in enumerate(self._board.rows):
            if row[cell] and index != self._row:
                self._wakeups[index].wake_worker(WakeupReason.PERMITS)

    def _on_failure(self) -> None:
        if self._is_reporting:
            return
        self._is_reporting = True
        wait_s = self._reported_at + FAILURE_REPORT_INTERVAL_S - monotonic()
        if wait_s > 0:
            self._loop.call_later(wait_s, self._wake_control)
        else:
            self._wake_control()

    def _wake_control(self) -> None:
        self._is_reporting = False
        self._reported_at = monotonic()
        self._wakeups[self._row].wake_control(WakeupReason.FAILURES)
