"""The supervisor: has children forked, obeys signals and orders, replaces who dies, and ends everything in order.

It runs no event loop and no thread, touches no connection, and so can fork at any time. What leads from phase to phase is in
`phases`; here is what each phase does. What it begins with is in `founding`. What takes more than one turn is an undertaking
(`reloading`, `restarting`), one at a time.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import time

from balance.config.model import Config
from balance.config.source import Source
from balance.errors import StartError
from balance.process import pulse, worker
from balance.process.agenda import Agenda, Answer, nobody_waits
from balance.process.board import Board
from balance.process.child import Child, Life
from balance.process.founding import Founding
from balance.process.handover import STOP, Legacy
from balance.process.line import Message
from balance.process.openings import Openings
from balance.process.phases import AFTER_DEADLINE, AFTER_FIRST_SIGNAL, AFTER_SIGNAL, Phase
from balance.process.reloading import Reloading
from balance.process.restarting import Restarting
from balance.process.signals import Signals
from balance.process.staff import NEVER, Departure, Staff
from balance.process.systemd import Notify
from balance.process.undertaking import Undertaking
from balance.process.upgrading import Upgrading
from balance.process.words import FILE_CHANGED, FOLLOW, ORDER, VERDICT
from balance.runtime import cells
from balance.side.steering import ChangeBackends, Order, Reload, Restart, Stop, Upgrade, Verdict

log = logging.getLogger("balance.process")

START_S = 30.0  # for imports on a slow, cold machine; a worker needs a tenth of a second
CLOSING_S = 3.0
ECHO_S = 0.3  # `timeout` signals its child and then its group: that is one order, not two


class Supervisor:
    """One instance, from its first fork to its last wait."""

    def __init__(
        self,
        config: Config,
        source: Source,
        openings: Openings,
        notify: Notify,
        legacy: Legacy | None = None,
        *,
        is_watched: bool = False,
    ) -> None:
        """`legacy` is what another instance has left, which this one takes the place of. `is_watched`: a change of the
        file is a reload."""
        self._notify = notify
        self._phase = Phase.STARTING
        self._deadline = time.monotonic() + START_S
        self._obeyed_at = -ECHO_S  # when a signal was last acted on
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._legacy = legacy
        self._is_board_ours = legacy is None  # else once this one serves
        self._successor: Child | None = None  # once it has taken over
        self._has_served = False
        self._agenda = Agenda(self._undertake, self._tell_ready)
        let_go = (self._signals.close, self._selector.close, self._agenda.let_go)
        self._estate = Founding(config, source, openings, self._selector, let_go, legacy, is_watched=is_watched).estate
        self._pulse = pulse.Pulse()
        self._next_look = NEVER

    def close(self) -> None:
        """When all is over: listen no more."""
        openings = self._estate.seat.openings
        if self._successor is not None:
            return
        if self._legacy is None or self._has_served:
            openings.close()
        else:  # whoever was to be replaced goes on listening
            openings.close_but_keep(self._legacy.owned_paths)

    @property
    def _config(self) -> Config:
        return self._estate.seat.config

    @property
    def _board(self) -> Board:
        return self._estate.seat.board

    @property
    def _staff(self) -> Staff:
        return self._estate.staff

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
                    for message in departure.messages:
                        self._hear(departure.child, message)
                    self._take_leave(departure)
                self._go_on(time.monotonic())
                was_killed |= self._phase is Phase.KILLING
            log.info("ended")
            return 1 if was_killed else 0
        finally:
            if self._legacy is not None and not self._has_served:
                self._staff.spare_workers()  # callers are with them that would have gone to the instance that goes on
            self._staff.kill()

    def _start_everyone(self) -> None:
        for post in self._staff.posts:
            try:
                self._staff.fill(post)
            except OSError as error:
                raise StartError(f"cannot start {post.name}: {error.strerror or error}") from None

    def _wait(self) -> None:
        due = min(self._deadline, self._staff.next_start, self._next_look, self._notify.due, self._agenda.deadline)
        timeout_s = None if due == NEVER else max(due - time.monotonic(), 0.0)
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                for signum in self._signals.received():
                    self._take(signum)
            else:
                self._listen(key.data)

    def _listen(self, child: Child) -> None:
        has_become_ready, messages, is_open = self._staff.hear(child)
        if not is_open and child is self._successor:
            self._follow()
        if has_become_ready:
            if self._phase is not Phase.STARTING:
                log.info("%s (pid %d) is ready", child.name, child.pid)
            self._agenda.became_ready(child, time.monotonic())
        for message in messages:
            self._hear(child, message)

    def _hear(self, child: Child, message: Message) -> None:
        if child is self._successor:
            if message.kind == STOP:
                self._follow()
        elif message.kind == FILE_CHANGED:
            self._ask(Reload(), "the file has changed", nobody_waits)
        elif message.kind == ORDER:
            number, order = message.data

            def answer(verdict: Verdict) -> None:
                child.say(VERDICT, (number, verdict))

            self._ask(order, "admin API", answer)
        elif not self._agenda.heard(child, message, time.monotonic()):
            for fd in message.fds:
                os.close(fd)

    # --- orders -----------------------------------------------------------------------------------------

    def _take(self, signum: signal.Signals) -> None:
        if signum is signal.SIGHUP:
            self._ask(Reload(), "SIGHUP", nobody_waits)
        elif signum is signal.SIGUSR1:
            self._ask(Restart(), "SIGUSR1", nobody_waits)
        elif signum is signal.SIGUSR2:
            self._ask(Upgrade(), "SIGUSR2", nobody_waits)
        elif (following := AFTER_SIGNAL.get((self._phase, signum))) is not None:
            now = time.monotonic()
            if now < self._obeyed_at + ECHO_S:
                return
            is_first = self._obeyed_at < 0
            self._obeyed_at = now
            if following is Phase.KILLING and is_first:
                log.info("%s received: it ends already; one more ends it at once", signum.name)
                following = AFTER_FIRST_SIGNAL.get((self._phase, signum), self._phase)
            else:
                log.info("%s received", signum.name)
            if following is not self._phase:
                self._enter(following)

    def _ask(self, order: Order, origin: str, answer: Answer) -> None:
        """Do as ordered, after what was ordered before."""
        number = self._estate.seat.generation.number
        if isinstance(order, Reload) and not order.dry_run:
            self._estate.reopen_logs()  # whatever becomes of it: whoever rotates logs sends SIGHUP
        if isinstance(order, Stop):
            log.info("told to stop (%s)", origin)
            answer(Verdict(True, number, summary="draining"))
            if (following := AFTER_SIGNAL.get((self._phase, signal.SIGTERM))) in (Phase.DELAYING, Phase.DRAINING):
                self._enter(following)
        elif self._phase not in (Phase.STARTING, Phase.SERVING):
            if answer is nobody_waits:
                log.warning("%s is not obeyed: the instance is about to end", origin)
            answer(Verdict(False, number, problems=("the instance is about to end",)))
        else:
            self._agenda.add(order, origin, answer, number)

    def _undertake(self, order: Order, origin: str, answer: Answer) -> Undertaking:
        if isinstance(order, Restart):
            return Restarting(self._estate, origin, answer)
        if isinstance(order, Upgrade):
            return Upgrading(self._estate, origin, self._notify.environment, self._legacy, answer, self._yield_to)
        assert isinstance(order, Reload | ChangeBackends)
        if not order.dry_run:
            self._notify.reloading()
        return Reloading(self._estate, order, origin, answer)

    def _yield_to(self, successor: Child) -> None:
        """Another instance serves on our sockets and counts on our board: what is left to us is to finish what we have."""
        self._successor = successor
        self._staff.disown(successor)
        self._notify.main_pid(successor.pid)
        log.info("process %d has taken over", successor.pid)
        self._enter(Phase.YIELDING)

    def _follow(self) -> None:
        """The instance that took over ends, or has ended."""
        if self._phase is Phase.YIELDING:
            log.info("the instance that took over ends, and so does this one")
            self._enter(Phase.DRAINING)
            if self._legacy is not None:  # it may not have come to tell them
                self._legacy.stop(self._config.drain_s)

    # --- children ---------------------------------------------------------------------------------------

    def _take_leave(self, departure: Departure) -> None:
        child, post = departure.child, departure.post
        lost = self._staff.clear_row(child)
        if self._phase is Phase.STARTING:
            raise StartError(departure.words)
        words = departure.words
        if lost and departure.status:
            self._board.count_lost_connections(lost)
            words += f", and {lost} client connection{'s' if lost > 1 else ''} with it"
        if post is not None and self._phase.replaces:
            if post.slot is None:
                self._board.count_control_restart()
            else:
                self._board.count_worker_restart()
            now = time.monotonic()
            delay_s = post.schedule_restart(now, now - child.started_at)
            log.error("%s; its successor starts %s", words, f"in {delay_s:g}s" if delay_s else "now")
        elif departure.status and self._phase is not Phase.KILLING:
            log.warning("%s", words)
        self._agenda.departed(child, departure.words, time.monotonic())

    def _go_on(self, now: float) -> None:
        """Whatever follows from who lives and what time it is."""
        staff = self._staff
        match self._phase:
            case Phase.STARTING if staff.is_ready:
                self._enter(Phase.SERVING)
            case Phase.STARTING if now >= self._deadline:
                raise StartError(f"not ready within {START_S:g}s: {staff.unready}")
            case Phase.YIELDING | Phase.DRAINING if not staff.worker_children:
                self._enter(Phase.CLOSING)
            case Phase.CLOSING | Phase.KILLING if not staff.everyone:
                self._enter(Phase.OVER)
            case phase if now >= self._deadline:
                self._enter(AFTER_DEADLINE[phase])
        staff.start_due(now)
        self._agenda.go_on(now, may_begin=self._phase is Phase.SERVING)
        self._notify.beat(now)
        if now >= self._next_look:
            self._next_look = now + pulse.LOOK_S
            self._feel_pulses()

    def _tell_ready(self) -> None:
        if self._successor is not None or self._phase is not Phase.SERVING:
            return
        generation = self._estate.seat.generation
        self._notify.ready(f"serving configuration {generation.number} with {len(self._staff.workers)} workers")

    def _tell_stopping(self, status: str) -> None:
        if self._successor is None:  # else the service goes on
            self._notify.stopping(status)

    def _feel_pulses(self) -> None:
        rows = self._board.rows
        beats = {child: rows[child.row][cells.BEAT_US] for child in self._staff.worker_children if child.row is not None}
        control = self._staff.control.child
        if control is not None and control.life is Life.READY:
            beats[control] = self._board.control_beat
        if control is not None and control.life is Life.STARTING and time.monotonic() > control.started_at + START_S:
            log.error("%s (pid %d) is not ready within %gs: killing it", control.name, control.pid, START_S)
            control.kill()
        for child in self._pulse.stuck(beats):
            log.error("%s (pid %d) does not turn any more: killing it", child.name, child.pid)
            child.kill()
        self._staff.sweep_rows()  # of an instance that was killed, before it took over or after

    def _enter(self, phase: Phase) -> None:
        now = time.monotonic()
        before, self._phase, self._deadline = self._phase, phase, NEVER
        staff = self._staff
        self._estate.stage = phase.stage
        self._is_board_ours |= phase is Phase.SERVING
        if self._is_board_ours and self._successor is None:  # else it is another instance's, still or by now
            self._board.set_stage(phase.stage)
        self._next_look = now if phase.replaces else NEVER
        if not phase.replaces:
            staff.start_nobody()
        if phase is not Phase.SERVING:
            self._agenda.give_up("the instance is about to end", self._estate.seat.generation.number)
        match phase:
            case Phase.SERVING:
                self._has_served = True
                log.info("ready")
                self._tell_ready()
                if self._legacy is not None:
                    self._legacy.ready()
                    if staff.control.child is not None:
                        staff.control.child.say(FOLLOW)
            case Phase.YIELDING:
                limit_s = self._config.restart_drain_s
                self._deadline = now + limit_s + 2 * worker.OVERTIME_S
                self._estate.seat.openings.close_copies()
                if staff.control.child is not None:
                    staff.finish([staff.control.child], CLOSING_S)
                staff.finish(staff.worker_children, limit_s)
            case Phase.DELAYING:
                self._deadline = now + self._config.shutdown_delay_s
                self._tell_stopping("not ready any more, still accepting")
                log.info("not ready any more; still accepting for %gs", self._config.shutdown_delay_s)
            case Phase.DRAINING:
                limit_s = self._config.drain_s
                self._deadline = now + limit_s + 2 * worker.OVERTIME_S
                self._tell_stopping("draining")
                if self._legacy is not None and self._successor is None:  # else they are its own, and it goes on
                    self._legacy.stop(limit_s)
                log.info("draining: no new connections, up to %gs for those in flight", limit_s)
                self._estate.seat.openings.close_listeners()
                staff.finish(staff.worker_children, limit_s)
            case Phase.CLOSING:
                self._deadline = now + CLOSING_S
                staff.finish(staff.everyone, CLOSING_S)
            case Phase.KILLING:
                log.warning("killed while still %s", before.value)
                for child in staff.everyone:
                    child.kill()
