"""The state of every backend: applies events from probes, traffic and operators, and publishes the changes.

A change is written to shared memory, wakes every worker, and is one log line and one event. The state machine is health.states.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable

from balance.admin.events.history import EventLog
from balance.admin.state_view import BackendView
from balance.config.model import HealthCheck, PoolConfig
from balance.health.backend_status import BackendStatus
from balance.health.panic import is_panic
from balance.health.states import Event, State, Transition, state_after_reload
from balance.process import state_log
from balance.process.children.child_context import ChildContext
from balance.process.ipc.wakeup import WakeupReason
from balance.runtime import counters

log = logging.getLogger("balance.control")


def _ignore_pool_down(pool: str) -> None:
    pass


class HealthRegistry:
    """One status per backend, restored from shared memory. Backends with weight 0 count neither as ready nor as missing."""

    def __init__(
        self,
        context: ChildContext,
        backends: Iterable[BackendView],
        events: EventLog | None = None,
        on_pool_down: Callable[[str], None] = _ignore_pool_down,
    ) -> None:
        """`on_pool_down` is called with a pool's name when a change leaves it without a ready backend."""
        self._context = context
        self._on_pool_down = on_pool_down
        self._events = events or EventLog()
        self._panicking: set[str] = set()
        self.backend_views = {backend_view.slot: backend_view for backend_view in backends}
        self._reasons = {slot: context.board.reason(slot) for slot in self.backend_views}  # as in shared memory
        self.statuses = {
            slot: self._restored_status(slot, backend_view.pool.health_check, backend_view.state, backend_view.since)
            for slot, backend_view in self.backend_views.items()
        }
        self._recount_ready()

    def _recount_ready(self) -> None:
        """Count backends and ready backends by pool."""
        weighted = [
            (slot, backend_view.pool.name) for slot, backend_view in self.backend_views.items() if backend_view.backend.weight
        ]
        self._sizes = Counter(pool for _, pool in weighted)
        self._ready = Counter(pool for slot, pool in weighted if self.statuses[slot].state.is_ready)

    def has_ready(self, pool: str) -> bool:
        """Whether a backend of the pool is ready."""
        return self._ready[pool] > 0

    def outage(self, pool: str) -> int:
        """The number of backends of a pool of which none is ready; else 0."""
        return 0 if self._ready[pool] else self._sizes[pool]

    def update(self, backends: Iterable[BackendView]) -> None:
        """The configured backends, after a reload. Those that stay keep their status."""
        before, self.statuses = self.statuses, {}
        known, self.backend_views = self.backend_views, {backend_view.slot: backend_view for backend_view in backends}
        for slot, backend_view in self.backend_views.items():
            check = backend_view.pool.health_check
            if slot not in known:
                self._reasons[slot] = self._context.board.reason(slot)
                self.statuses[slot] = self._restored_status(slot, check, *self._context.board.state(slot))
            elif known[slot].pool.health_check == check:
                self.statuses[slot] = before[slot]
            else:
                self.statuses[slot] = self._restored_status(slot, check, before[slot].state, before[slot].since)
        self._recount_ready()
        self._panicking &= {backend_view.pool.name for backend_view in self.backend_views.values()}
        self.wake_workers()

    def reread_states(self) -> None:
        """Adopt the states that the replaced instance's control has written meanwhile."""
        for slot in self.statuses:
            self._reread_state(slot)

    def _reread_state(self, slot: int) -> None:
        board, known = self._context.board, self.statuses[slot]
        state, since = board.state(slot)
        if state is not known.state:
            self._reasons[slot] = board.reason(slot)
            self.statuses[slot] = self._restored_status(slot, self.backend_views[slot].pool.health_check, state, since)
            self._count_transition(slot, known.state, self.statuses[slot].state)

    def _count_transition(self, slot: int, before: State, after: State) -> None:
        backend_view = self.backend_views[slot]
        if backend_view.backend.weight:
            self._ready[backend_view.pool.name] += after.is_ready - before.is_ready

    def rewrite_states(self) -> None:
        """Write the states again after a failed upgrade, except what an operator ordered from the new instance."""
        board = self._context.board
        for slot, status in self.statuses.items():
            if board.state(slot)[0] in (State.DRAINING, State.MAINTENANCE):
                self._reread_state(slot)
                continue
            if board.state(slot) != (status.state, float(int(status.since))):
                board.set_state(slot, status.state, status.since, self._reasons.get(slot, ""))
        self.wake_workers()

    def _restored_status(self, slot: int, check: HealthCheck, state: State, since: float) -> BackendStatus:
        """A backend's status under these checks, from its state before."""
        restored = state_after_reload(state, check)
        if restored is not state:
            self._context.board.set_state(slot, restored, 0.0)
            self._reasons.pop(slot, None)
            self.wake_workers()
            return BackendStatus(check, restored)
        return BackendStatus(check, state, since)

    def state(self, slot: int) -> State:
        """The backend's state."""
        return self.statuses[slot].state

    def apply_event(self, slot: int, event: Event, reason: str, *, is_explicit: bool = False) -> Transition | None:
        """Apply an event. A change is published when this returns."""
        self._reread_state(slot)
        now = time.time()  # wall clock: shown to users, and still valid after a restart
        backend_view = self.backend_views[slot]
        # With no ready backend, the healthy threshold would only prolong the outage: one success is enough.
        at_once = event is Event.PASS and not self._ready[backend_view.pool.name]
        status = self.statuses[slot]
        if event is Event.PASS and not at_once and backend_view.pool.health_check.kind == "tcp" and status.state.is_on_trial:
            status.streak = 0  # a TCP check does not outweigh failed traffic
            return None
        transition = status.apply(event, reason, now, is_explicit=is_explicit, at_once=at_once)
        if transition is None:
            return None
        self._count_transition(slot, transition.before, transition.after)
        times = f" ({transition.streak} times in a row)" if transition.streak > 1 else ""
        self._context.board.set_state(slot, transition.after, now, reason + times)
        self._reasons[slot] = reason + times
        self.wake_workers()
        name = state_log.backend_name(backend_view.pool.name, backend_view.backend)
        state_log.log_state(log, name, transition, reason + times)
        about = {"before": transition.before.word, "after": transition.after.word, "why": reason + times}
        text = f"{name} is {transition.after.word}: {reason}{times}"
        self._events.publish("backend", text, pool=backend_view.pool.name, name=backend_view.backend.name, **about)
        self._log_panic(backend_view.pool)
        if not self._ready[backend_view.pool.name]:
            self._on_pool_down(backend_view.pool.name)
        return transition

    def slots(self, pool: str) -> list[int]:
        """The slots of a pool's backends with weight."""
        return [
            slot
            for slot, backend_view in self.backend_views.items()
            if backend_view.pool.name == pool and backend_view.backend.weight
        ]

    def states(self, pool: str) -> list[State]:
        """Their states."""
        return [self.statuses[slot].state for slot in self.slots(pool)]

    def _log_panic(self, pool: PoolConfig) -> None:
        threshold = pool.health_check.panic_threshold
        if not threshold:
            return
        states: tuple[list[State], list[State]] = [], []  # the others', the backups'
        for slot, backend_view in self.backend_views.items():
            if backend_view.pool.name == pool.name and backend_view.backend.weight:
                states[backend_view.backend.backup].append(self.statuses[slot].state)
        if is_panic(states[False], threshold, states[True]) is not (pool.name in self._panicking):
            self._panicking ^= {pool.name}
            state_log.log_panic(log, pool.name, pool.name in self._panicking)

    def wake_workers(self) -> None:
        """Tell every worker that states have changed."""
        for wakeup, row in zip(self._context.wakeups, self._context.board.rows, strict=False):
            if row[counters.PLACE]:
                wakeup.wake_worker(WakeupReason.BACKEND_STATES)
