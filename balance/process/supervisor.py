"""The supervisor: makes what is shared, has children forked, replaces who dies, and ends everything in order.

It runs no event loop and no thread, touches no connection, and so can fork at any time. What leads from phase to phase
is in `phases`; here is what each phase does.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import time

from balance.config.model import Config
from balance.errors import StartError
from balance.process import logs, pulse, worker
from balance.process.board import Board
from balance.process.channel import Channel
from balance.process.child import END, Life, Report
from balance.process.locks import Locks
from balance.process.openings import Openings
from balance.process.phases import AFTER_DEADLINE, AFTER_SIGNAL, Phase
from balance.process.seat import Seat
from balance.process.signals import Signals
from balance.process.staff import NEVER, Departure, Staff
from balance.runtime import cells
from balance.runtime.snapshot import backend_slots

log = logging.getLogger("balance.process")

START_S = 30.0  # for imports on a slow, cold machine; a worker needs a tenth of a second
CLOSING_S = 3.0
ECHO_S = 0.3  # `timeout` signals its child and then its group: that is one order, not two


class Supervisor:
    """One instance, from its first fork to its last wait."""

    def __init__(self, config: Config, openings: Openings, log_fd: int) -> None:
        self._config = config
        self._log_fd = log_fd
        self._phase = Phase.STARTING
        self._deadline = time.monotonic() + START_S
        self._obeyed_at = -ECHO_S  # when a signal was last acted on
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        lifeline, self._lifeline_end = os.pipe()
        slots = backend_slots(config)
        self._seat = Seat(
            config=config,
            slots=slots,
            board=Board(config.workers, len(slots) + 1),
            locks=Locks(),
            openings=openings,
            channels=tuple(Channel() for _ in range(config.workers)),
            lifeline=lifeline,
            supervisor_pid=os.getpid(),
            session_key=os.urandom(32),
            started_at=time.time(),
        )
        self._staff = Staff(config.workers, self._be_worker, self._be_control, self._selector)
        self._pulse = pulse.Pulse(config.workers)
        self._next_look = NEVER

    def run(self) -> int:
        """Returns the exit status: 0 when it ended in order. StartError when it could not begin."""
        gc.collect()
        gc.freeze()  # the children's collectors leave these pages alone, and so they stay shared
        was_killed = False
        try:
            self._start_everyone()
            while self._phase is not Phase.OVER:
                self._wait()
                for departure in self._staff.departures():
                    self._take_leave(departure)
                self._go_on(time.monotonic())
                was_killed |= self._phase is Phase.KILLING
            log.info("ended")
            return 1 if was_killed else 0
        finally:
            self._staff.kill()

    def _start_everyone(self) -> None:
        for child in self._staff.everyone:
            try:
                self._staff.start(child)
            except OSError as error:
                raise StartError(f"cannot start {child.name}: {error.strerror}") from None

    def _wait(self) -> None:
        due = min(self._deadline, self._staff.next_start, self._next_look)
        timeout_s = None if due == NEVER else max(due - time.monotonic(), 0.0)
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                for signum in self._signals.received():
                    self._take(signum)
            elif self._staff.hear(key.data) and self._phase is not Phase.STARTING:
                log.info("%s (pid %d) is ready", key.data.name, key.data.pid)

    def _take(self, signum: signal.Signals) -> None:
        if signum is signal.SIGHUP:
            log.warning("SIGHUP: reloading is not available in this version; restart to apply a changed configuration")
        elif (following := AFTER_SIGNAL.get((self._phase, signum))) is not None:
            now = time.monotonic()
            if now < self._obeyed_at + ECHO_S:
                return
            self._obeyed_at = now
            log.info("%s received", signum.name)
            self._enter(following)

    def _take_leave(self, departure: Departure) -> None:
        child, status, words = departure
        if child.slot is not None:
            self._seat.board.zero_gauges(child.slot)
        if self._phase is Phase.STARTING:
            raise StartError(words)
        if self._phase.replaces:
            if child.slot is None:
                self._seat.board.count_control_restart()
            else:
                self._seat.board.count_worker_restart()
            delay_s = child.schedule_restart(time.monotonic())
            log.error("%s; its successor starts %s", words, f"in {delay_s:g}s" if delay_s else "now")
        elif status and self._phase is not Phase.KILLING:
            log.warning("%s", words)

    def _go_on(self, now: float) -> None:
        """Whatever follows from who lives and what time it is."""
        staff = self._staff
        match self._phase:
            case Phase.STARTING if staff.is_ready:
                self._enter(Phase.SERVING)
            case Phase.STARTING if now >= self._deadline:
                raise StartError(f"not ready within {START_S:g}s: {staff.unready}")
            case Phase.DRAINING if not staff.workers_live:
                self._enter(Phase.CLOSING)
            case Phase.CLOSING | Phase.KILLING if not staff.anyone_lives:
                self._enter(Phase.OVER)
            case phase if now >= self._deadline:
                self._enter(AFTER_DEADLINE[phase])
        staff.start_due(now)
        if now >= self._next_look:
            self._next_look = now + pulse.LOOK_S
            self._feel_pulses()

    def _feel_pulses(self) -> None:
        for slot in self._pulse.stuck([row[cells.BEAT_US] for row in self._seat.board.rows]):
            child = self._staff.workers[slot]
            if child.life is not Life.GONE:
                log.error("%s (pid %d) does not turn any more: killing it", child.name, child.pid)
                child.send(signal.SIGKILL)

    def _enter(self, phase: Phase) -> None:
        now = time.monotonic()
        before, self._phase, self._deadline = self._phase, phase, NEVER
        staff = self._staff
        self._seat.board.set_stage(phase.stage)
        self._next_look = now if phase.replaces else NEVER
        if not phase.replaces:
            staff.start_nobody()
        match phase:
            case Phase.SERVING:
                log.info("ready")
            case Phase.DELAYING:
                self._deadline = now + self._config.shutdown_delay_s
                log.info("not ready any more; still accepting for %gs", self._config.shutdown_delay_s)
            case Phase.DRAINING:
                limit_s = worker.drain_s(self._config)
                self._deadline = now + limit_s + 2 * worker.OVERTIME_S
                log.info("draining: no new connections, up to %gs for those in flight", limit_s)
                self._seat.openings.close_listeners()
                staff.send(staff.workers, END)
            case Phase.CLOSING:
                self._deadline = now + CLOSING_S
                staff.send([staff.control], END)
            case Phase.KILLING:
                log.warning("killed while still %s", before.value)
                staff.send(staff.everyone, signal.SIGKILL)

    # --- in the child, right after the fork ---------------------------------------------------------

    def _be_worker(self, slot: int, report: Report) -> int:
        self._let_go(f"worker {slot}")
        return worker.run(self._seat, slot, report)

    def _be_control(self, report: Report) -> int:
        self._let_go("control")
        # Imported here, so that no worker carries the side doors' libraries.
        from balance.process import control

        return control.run(self._seat, report)

    def _let_go(self, name: str) -> None:
        """Close what only the supervisor may hold; its end of the lifeline above all."""
        os.close(self._lifeline_end)
        self._signals.close()
        self._selector.close()
        self._staff.let_go()
        logs.configure(self._config.logging, self._log_fd, name)
