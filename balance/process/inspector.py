"""Looks at how traffic fares, where a configuration asks for it: ejects and brings back backends, opens breakers by rate.

Workers ring when something failed; then, and a few times a minute, control reads the counters that they keep anyway. So
its work grows with failures and with the number of backends, never with traffic.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from balance.health.breaker import PEAK, Breaker, Signal
from balance.health.outlier import ejection_s, may_eject, remembered, why_outlier
from balance.health.states import Event, State
from balance.health.window import STEPS
from balance.process import news
from balance.process.board import Ejection
from balance.process.patient import Patient
from balance.process.register import Register
from balance.process.seat import Seat
from balance.runtime import cells

log = logging.getLogger("balance.control")

LOOK_S = 0.05  # from one look to the next at least


class Inspector:
    """Begins to look with start(). Nothing happens for pools that ask for nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seat: Seat, register: Register) -> None:
        self._loop = loop
        self._seat = seat
        self._board = seat.board
        self._register = register
        self._patients: dict[int, Patient] = {}
        self._sample_s = 0.0
        self._is_looking = False
        self._blamed: list[int] = []  # at the last look
        self._returning: set[int] = set()
        self._looked_at = 0.0
        self._is_due = False

    def start(self) -> None:
        """Look when a worker rings, and often enough to know what was before."""
        self.renew()
        for channel in self._seat.channels:
            self._loop.add_reader(channel.control_end, self._heard, channel)

    def renew(self) -> None:
        """The register knows another configuration. Who is looked at already goes on being looked at."""
        before, self._patients = self._patients, {}
        requests, aborted = self._board.column(cells.LEASES), self._board.column(cells.ABORTED)
        blamed = self._board.column(cells.BLAMED)
        for slot, seen in self._register.seen.items():
            if not seen.pool.breaker.enabled and not seen.pool.health_check.passive.enabled:
                continue
            patient = before.get(slot)
            if patient is not None and patient.is_watched_as(seen):
                patient.seen = seen
            else:
                patient = Patient(seen, self._board)
                patient.begin((requests[slot] - aborted[slot], blamed[slot]))
                if self._register.state(slot) is State.EJECTED and slot not in before:
                    self._await_return(slot)
            self._patients[slot] = patient
        self._blamed = []
        self._returning = {slot for slot in self._patients if self._register.state(slot) is State.RETURNING}
        spans = [window.span_s for patient in self._patients.values() for window in patient.windows]
        self._sample_s = min(spans, default=0.0) / STEPS
        if self._patients and not self._is_looking:
            self._is_looking = True
            self._sample()

    def _heard(self, channel: object) -> None:
        for each in self._seat.channels:
            each.heard_by_control()
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(max(0.0, self._looked_at + LOOK_S - monotonic()), self._look)

    def _sample(self) -> None:
        if not self._patients:
            self._is_looking = False
            return
        self._blamed = []
        self._look()
        self._loop.call_later(self._sample_s, self._sample)

    def _look(self) -> None:
        """At those who had a failure since the last look and those who are tried; at everybody for a sample."""
        self._is_due = False
        now = self._looked_at = monotonic()
        board = self._board
        requests, aborted = board.column(cells.LEASES), board.column(cells.ABORTED)
        blamed, peaks, before = board.column(cells.BLAMED), board.evidence_column(PEAK), self._blamed
        self._blamed = blamed
        for slot, patient in self._patients.items():
            if before and before[slot] == blamed[slot] and not peaks[slot] and slot not in self._returning:
                continue
            failed = patient.count(requests[slot] - aborted[slot], blamed[slot], now)
            state = self._register.state(slot)
            if state is State.RETURNING:
                self._judge_trial(slot, patient)
                continue
            self._returning.discard(slot)
            if not state.is_ready:
                self._forget(slot, patient)
            elif failed or peaks[slot]:
                self._judge(slot, patient, now)

    def _judge(self, slot: int, patient: Patient, now: float) -> None:
        pool = patient.seen.pool
        if pool.breaker.enabled and patient.is_failing(now):
            self._open(slot, patient, now)
        checks = pool.health_check.passive
        if checks.enabled:
            reason = why_outlier(checks, self._take_peak(slot), patient.volume(now))
            if reason and may_eject(checks, self._register.states(pool.name)):
                self._eject(slot, patient, Event.EJECT, reason, now)

    def _judge_trial(self, slot: int, patient: Patient) -> None:
        passed, failed = patient.trials()
        if failed and not self._register.has_ready(patient.seen.pool.name):
            return  # nobody would be left: it is asked all the same, until a request goes well or another is ready
        if failed:
            self._eject(slot, patient, Event.TRIAL_FAIL, "the request that tried it failed", monotonic())
        elif passed:
            self._forget(slot, patient)
            self._register.take(slot, Event.TRIAL_PASS, "the request that tried it went well")

    def _eject(self, slot: int, patient: Patient, event: Event, reason: str, now: float) -> None:
        self._returning.discard(slot)
        checks = patient.seen.pool.health_check.passive
        board = self._board
        times, until_us, total = board.ejection(slot)
        times = remembered(checks, times, max(0.0, now - until_us / 1e6)) + 1
        for_s = ejection_s(checks, times)
        board.set_ejection(slot, Ejection(times, int((now + for_s) * 1e6), total + 1))
        self._forget(slot, patient)
        if self._register.take(slot, event, f"{reason}; it is left alone for {for_s:g}s"):
            self._await_return(slot)

    def await_returns(self) -> None:
        """When the ejected come back, as the board has it now, whoever else wrote there."""
        for slot in self._patients:
            if self._register.state(slot) is State.EJECTED:
                self._await_return(slot)

    def _await_return(self, slot: int) -> None:
        until_us = self._board.ejection(slot).until_us
        self._loop.call_later(max(0.0, until_us / 1e6 - monotonic()), self._try_again, slot, until_us)

    def _try_again(self, slot: int, until_us: int) -> None:
        """Unless something else has ended that ejection meanwhile."""
        if self._board.ejection(slot).until_us == until_us:
            self._bring_back(slot, "its time is over, one request at a time tries it")

    def give_way(self, pool: str) -> None:
        """Nobody of that pool is ready: those whom only their traffic speaks against are tried now."""
        for slot in self._register.slots(pool):
            self._bring_back(slot, "nobody else is ready, so that it is tried now")

    def _bring_back(self, slot: int, why: str) -> None:
        if slot in self._patients and self._register.state(slot) is State.EJECTED:
            self._patients[slot].trials()
            self._forget(slot, self._patients[slot])
            self._returning.add(slot)
            self._register.take(slot, Event.TIME, why)

    def _open(self, slot: int, patient: Patient, now: float) -> None:
        locks = self._seat.locks
        if not locks.take(slot):
            return  # there will be another failure
        try:
            change = Breaker(patient.seen.pool.breaker, self._board.evidence(slot)).take(Signal.RATE, int(now * 1e6))
        finally:
            locks.leave(slot)
        if change is not None:
            patient.forget()
            self._register.ring_workers()
            seen = patient.seen
            news.tell_breaker(log, news.backend_name(seen.pool.name, seen.backend), change)

    def _forget(self, slot: int, patient: Patient) -> None:
        """What failed before it was out, and what fails while it is, does not speak against it once it is back."""
        patient.forget()
        self._take_peak(slot)

    def _take_peak(self, slot: int) -> int:
        """The longest run of failures since the last look."""
        locks = self._seat.locks
        evidence = self._board.evidence(slot)
        if not evidence[PEAK] or not locks.take(slot):
            return 0
        peak = evidence[PEAK]
        evidence[PEAK] = 0
        locks.leave(slot)
        return peak
