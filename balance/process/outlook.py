"""What a worker knows of the backends: reads the board when a bell rings or a breaker's time is over, tells the pools.

Its own part in it goes the other way: a breaker that this worker moved is logged and rung to the other workers, evidence to
control. Without control breakers work on; what waits for it is ejection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic

from balance.health.breaker import PHASE, UNTIL_US, Change, Phase
from balance.health.states import State
from balance.process import news
from balance.process.board import Board
from balance.process.channel import Channel, Message
from balance.process.seat import Seat
from balance.proxy.traffic import Traffic
from balance.runtime.backend import Backend
from balance.runtime.guard import Shared
from balance.runtime.guarded import GuardedPool, needs_guard
from balance.runtime.limited import LimitedPool
from balance.runtime.snapshot import Snapshot

log = logging.getLogger("balance.worker")

REPORT_S = 0.02  # evidence is told to control so often at most, however much there is


class Outlook:
    """Of one worker. look() is safe at any time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seat: Seat, slot: int) -> None:
        self._loop = loop
        self._board: Board = seat.board
        self._own = seat.channels[slot]
        self._channels: Sequence[Channel] = seat.channels
        self._others: Sequence[Channel] = [channel for channel in seat.channels if channel is not self._own]
        self._names = {
            seat.slots[pool.name, backend.name]: news.backend_name(pool.name, backend)
            for pool in seat.config.pools
            if needs_guard(pool)
            for backend in pool.backends
        }
        self._backends: dict[int, tuple[GuardedPool, Backend]] = {}
        self._plain: list[int] = []
        self._limited: list[LimitedPool] = []
        self._traffic: Traffic | None = None
        self._states = [int(State.UNKNOWN)] * seat.board.slots  # as the snapshot begins
        self._phases = [int(Phase.CLOSED)] * seat.board.slots
        self._timer: asyncio.TimerHandle | None = None
        self._reported_at = 0.0
        self._is_reporting = False
        self.shared = Shared(
            seat.board.rows,
            seat.board.evidence,
            seat.locks,
            self._moved,
            self._failed,
            self._ring_where,
            seat.board.sessions,
            seat.session_key,
        )

    def begin(self, snapshot: Snapshot, traffic: Traffic) -> None:
        """Look for the first time: however things stand, they were so before."""
        self._traffic = traffic
        for pool in snapshot.pools.values():
            if isinstance(pool, LimitedPool):
                self._limited.append(pool)
            if isinstance(pool, GuardedPool):
                self._backends |= {backend.slot: (pool, backend) for backend in pool.backends}
            else:
                self._plain += [backend.slot for backend in pool.backends]
        self._take_in(None)

    def heard(self) -> None:
        """A bell rang: look at what it says."""
        messages = self._own.heard()
        if Message.STATES in messages:
            self.look()
        if Message.PERMITS in messages:
            for pool in self._limited:
                pool.look_at_permits()

    def look(self) -> None:
        """Read the board and apply what is new."""
        self._take_in(monotonic())

    def _take_in(self, now: float | None) -> None:
        assert self._traffic is not None
        states, phases = self._board.states(), self._phases_now()
        if states != self._states:
            for slot in self._plain:
                if states[slot] != self._states[slot]:
                    self._traffic.set_ready(slot, State(states[slot]).is_ready)
        changed: dict[GuardedPool, list[Backend]] = {}
        if self._backends and (states != self._states or phases != self._phases):
            for slot, (pool, backend) in self._backends.items():
                if states[slot] != self._states[slot] or phases[slot] != self._phases[slot]:
                    pool.update(backend, State(states[slot]), Phase(phases[slot]), now)
                    changed.setdefault(pool, []).append(backend)
        self._states, self._phases = states, phases
        for pool in changed:
            pool.rebuild()
            for backend in pool.backends:
                if not backend.is_ready:
                    for parked in list(backend.idle):
                        parked.discard()

    def _phases_now(self) -> list[int]:
        """Every breaker's phase; OPEN whose time is over is as good as HALF_OPEN. Wakes up when the next one's is."""
        if not self._backends:
            return self._phases
        phases = self._board.evidence_column(PHASE)
        if Phase.OPEN not in phases:
            return phases
        now_us = int(monotonic() * 1e6)
        until_us = self._board.evidence_column(UNTIL_US)
        waits = []
        for slot, phase in enumerate(phases):
            if phase == Phase.OPEN:
                if now_us >= until_us[slot]:
                    phases[slot] = int(Phase.HALF_OPEN)
                else:
                    waits.append(until_us[slot] - now_us)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(min(waits) / 1e6 + 0.001, self.look) if waits else None
        return phases

    def _moved(self, slot: int, change: Change) -> None:
        """This worker has moved a breaker, in the middle of a request."""
        for channel in self._others:
            channel.ring(Message.STATES)
        news.tell_breaker(log, self._names[slot], change)
        self._loop.call_soon(self.look)

    def _ring_where(self, cell: int) -> None:
        """Tell the others whose row has that cell set about permits."""
        for channel, row in zip(self._channels, self._board.rows, strict=True):
            if row[cell] and channel is not self._own:
                channel.ring(Message.PERMITS)

    def _failed(self) -> None:
        if self._is_reporting:
            return
        self._is_reporting = True
        wait_s = self._reported_at + REPORT_S - monotonic()
        if wait_s > 0:
            self._loop.call_later(wait_s, self._report)
        else:
            self._report()

    def _report(self) -> None:
        self._is_reporting = False
        self._reported_at = monotonic()
        self._own.ring_control(Message.EVIDENCE)
