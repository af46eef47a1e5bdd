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

from balance.admin.supervisor_orders import ChangeBackends, Order, Reload, Restart, Stop, Upgrade, Verdict
from balance.config.model import Config
from balance.config.source import Source
from balance.errors import StartError
from balance.process.children import stall_detector
from balance.process.children.child import Child, ChildState
from balance.process.children.process_table import NEVER, Departure, ProcessTable
from balance.process.ipc.messages import FILE_CHANGED, FOLLOW, ORDER, VERDICT
from balance.process.ipc.pipe import Message
from balance.process.operations.operation import Operation
from balance.process.operations.operation_queue import Answer, OperationQueue, nobody_waits
from balance.process.operations.reload import ReloadOperation
from balance.process.operations.rolling_restart import RollingRestart
from balance.process.operations.upgrade import UpgradeOperation
from balance.process.operations.upgrade_protocol import STOP, HandoverState
from balance.process.shared_memory.board import Board
from balance.process.sockets.listen_sockets import ListenSockets
from balance.process.supervisor.bootstrap import Bootstrap
from balance.process.supervisor.lifecycle import AFTER_DEADLINE, AFTER_FIRST_SIGNAL, AFTER_SIGNAL, LifecyclePhase
from balance.process.supervisor.signals import Signals
from balance.process.supervisor.systemd import Notify
from balance.process.worker import worker
from balance.runtime import counters

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
        listen_sockets: ListenSockets,
        notify: Notify,
        handover_state: HandoverState | None = None,
        *,
        is_watched: bool = False,
    ) -> None:
        """`legacy` is what another instance has left, which this one takes the place of. `is_watched`: a change of the
        file is a reload."""
        self._notify = notify
        self._phase = LifecyclePhase.STARTING
        self._deadline = time.monotonic() + START_S
        self._obeyed_at = -ECHO_S  # when a signal was last acted on
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._handover_state = handover_state
        self._is_board_ours = handover_state is None  # else once this one serves
        self._successor: Child | None = None  # once it has taken over
        self._has_served = False
        self._operations = OperationQueue(self._undertake, self._tell_ready)
        let_go = (self._signals.close, self._selector.close, self._operations.let_go)
        self._supervisor_state = Bootstrap(
            config, source, listen_sockets, self._selector, let_go, handover_state, is_watched=is_watched
        ).supervisor_state
        self._stall_detector = stall_detector.StallDetector()
        self._next_look = NEVER

    def close(self) -> None:
        """When all is over: listen no more."""
        listen_sockets = self._supervisor_state.context.listen_sockets
        if self._successor is not None:
            return
        if self._handover_state is None or self._has_served:
            listen_sockets.close()
        else:  # whoever was to be replaced goes on listening
            listen_sockets.close_but_keep(self._handover_state.owned_paths)

    @property
    def _config(self) -> Config:
        return self._supervisor_state.context.config

    @property
    def _board(self) -> Board:
        return self._supervisor_state.context.board

    @property
    def _process_table(self) -> ProcessTable:
        return self._supervisor_state.process_table

    def run(self) -> int:
        """Returns the exit status: 0 when it ended in order. StartError when it could not begin."""
        gc.collect()
        gc.freeze()  # the children's collectors leave these pages alone, and so they stay shared
        was_killed = False
        try:
            self._start_everyone()
            while self._phase is not LifecyclePhase.OVER:
                self._wait()
                for departure in self._process_table.departures():
                    for message in departure.messages:
                        self._hear(departure.child, message)
                    self._take_leave(departure)
                self._go_on(time.monotonic())
                was_killed |= self._phase is LifecyclePhase.KILLING
            log.info("ended")
            return 1 if was_killed else 0
        finally:
            if self._handover_state is not None and not self._has_served:
                self._process_table.spare_workers()  # callers are with them that would have gone to the instance that goes on
            self._process_table.kill()

    def _start_everyone(self) -> None:
        for child_slot in self._process_table.child_slots:
            try:
                self._process_table.fill(child_slot)
            except OSError as error:
                raise StartError(f"cannot start {child_slot.name}: {error.strerror or error}") from None

    def _wait(self) -> None:
        due = min(self._deadline, self._process_table.next_start, self._next_look, self._notify.due, self._operations.deadline)
        timeout_s = None if due == NEVER else max(due - time.monotonic(), 0.0)
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                for signum in self._signals.received():
                    self._take(signum)
            else:
                self._listen(key.data)

    def _listen(self, child: Child) -> None:
        has_become_ready, messages, is_open = self._process_table.hear(child)
        if not is_open and child is self._successor:
            self._follow()
        if has_become_ready:
            if self._phase is not LifecyclePhase.STARTING:
                log.info("%s (pid %d) is ready", child.name, child.pid)
            self._operations.became_ready(child, time.monotonic())
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
        elif not self._operations.heard(child, message, time.monotonic()):
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
            if following is LifecyclePhase.KILLING and is_first:
                log.info("%s received: it ends already; one more ends it at once", signum.name)
                following = AFTER_FIRST_SIGNAL.get((self._phase, signum), self._phase)
            else:
                log.info("%s received", signum.name)
            if following is not self._phase:
                self._enter(following)

    def _ask(self, order: Order, origin: str, answer: Answer) -> None:
        """Do as ordered, after what was ordered before."""
        number = self._supervisor_state.context.generation.number
        if isinstance(order, Reload) and not order.dry_run:
            self._supervisor_state.reopen_logs()  # whatever becomes of it: whoever rotates logs sends SIGHUP
        if isinstance(order, Stop):
            log.info("told to stop (%s)", origin)
            answer(Verdict(True, number, summary="draining"))
            if (following := AFTER_SIGNAL.get((self._phase, signal.SIGTERM))) in (
                LifecyclePhase.DELAYING,
                LifecyclePhase.DRAINING,
            ):
                self._enter(following)
        elif self._phase not in (LifecyclePhase.STARTING, LifecyclePhase.SERVING):
            if answer is nobody_waits:
                log.warning("%s is not obeyed: the instance is about to end", origin)
            answer(Verdict(False, number, problems=("the instance is about to end",)))
        else:
            self._operations.add(order, origin, answer, number)

    def _undertake(self, order: Order, origin: str, answer: Answer) -> Operation:
        if isinstance(order, Restart):
            return RollingRestart(self._supervisor_state, origin, answer)
        if isinstance(order, Upgrade):
            return UpgradeOperation(
                self._supervisor_state, origin, self._notify.environment, self._handover_state, answer, self._yield_to
            )
        assert isinstance(order, Reload | ChangeBackends)
        if not order.dry_run:
            self._notify.reloading()
        return ReloadOperation(self._supervisor_state, order, origin, answer)

    def _yield_to(self, successor: Child) -> None:
        """Another instance serves on our sockets and counts on our board: what is left to us is to finish what we have."""
        self._successor = successor
        self._process_table.disown(successor)
        self._notify.main_pid(successor.pid)
        log.info("process %d has taken over", successor.pid)
        self._enter(LifecyclePhase.YIELDING)

    def _follow(self) -> None:
        """The instance that took over ends, or has ended."""
        if self._phase is LifecyclePhase.YIELDING:
            log.info("the instance that took over ends, and so does this one")
            self._enter(LifecyclePhase.DRAINING)
            if self._handover_state is not None:  # it may not have come to tell them
                self._handover_state.stop(self._config.drain_s)

    # --- children ---------------------------------------------------------------------------------------

    def _take_leave(self, departure: Departure) -> None:
        child, child_slot = departure.child, departure.child_slot
        lost = self._process_table.clear_row(child)
        if self._phase is LifecyclePhase.STARTING:
            raise StartError(departure.words)
        words = departure.words
        if lost and departure.status:
            self._board.count_lost_connections(lost)
            words += f", and {lost} client connection{'s' if lost > 1 else ''} with it"
        if child_slot is not None and self._phase.replaces:
            if child_slot.slot is None:
                self._board.count_control_restart()
            else:
                self._board.count_worker_restart()
            now = time.monotonic()
            delay_s = child_slot.schedule_restart(now, now - child.started_at)
            log.error("%s; its successor starts %s", words, f"in {delay_s:g}s" if delay_s else "now")
        elif departure.status and self._phase is not LifecyclePhase.KILLING:
            log.warning("%s", words)
        self._operations.departed(child, departure.words, time.monotonic())

    def _go_on(self, now: float) -> None:
        """Whatever follows from who lives and what time it is."""
        process_table = self._process_table
        match self._phase:
            case LifecyclePhase.STARTING if process_table.is_ready:
                self._enter(LifecyclePhase.SERVING)
            case LifecyclePhase.STARTING if now >= self._deadline:
                raise StartError(f"not ready within {START_S:g}s: {process_table.unready}")
            case LifecyclePhase.YIELDING | LifecyclePhase.DRAINING if not process_table.worker_children:
                self._enter(LifecyclePhase.CLOSING)
            case LifecyclePhase.CLOSING | LifecyclePhase.KILLING if not process_table.everyone:
                self._enter(LifecyclePhase.OVER)
            case phase if now >= self._deadline:
                self._enter(AFTER_DEADLINE[phase])
        process_table.start_due(now)
        self._operations.go_on(now, may_begin=self._phase is LifecyclePhase.SERVING)
        self._notify.beat(now)
        if now >= self._next_look:
            self._next_look = now + stall_detector.LOOK_S
            self._feel_pulses()

    def _tell_ready(self) -> None:
        if self._successor is not None or self._phase is not LifecyclePhase.SERVING:
            return
        generation = self._supervisor_state.context.generation
        self._notify.ready(f"serving configuration {generation.number} with {len(self._process_table.workers)} workers")

    def _tell_stopping(self, status: str) -> None:
        if self._successor is None:  # else the service goes on
            self._notify.stopping(status)

    def _feel_pulses(self) -> None:
        rows = self._board.rows
        beats = {
            child: rows[child.row][counters.BEAT_US] for child in self._process_table.worker_children if child.row is not None
        }
        control = self._process_table.control.child
        if control is not None and control.life is ChildState.READY:
            beats[control] = self._board.control_beat
        if control is not None and control.life is ChildState.STARTING and time.monotonic() > control.started_at + START_S:
            log.error("%s (pid %d) is not ready within %gs: killing it", control.name, control.pid, START_S)
            control.kill()
        for child in self._stall_detector.stuck(beats):
            log.error("%s (pid %d) does not turn any more: killing it", child.name, child.pid)
            child.kill()
        self._process_table.sweep_rows()  # of an instance that was killed, before it took over or after

    def _enter(self, phase: LifecyclePhase) -> None:
        now = time.monotonic()
        before, self._phase, self._deadline = self._phase, phase, NEVER
        process_table = self._process_table
        self._supervisor_state.stage = phase.stage
        self._is_board_ours |= phase is LifecyclePhase.SERVING
        if self._is_board_ours and self._successor is None:  # else it is another instance's, still or by now
            self._board.set_stage(phase.stage)
        self._next_look = now if phase.replaces else NEVER
        if not phase.replaces:
            process_table.start_nobody()
        if phase is not LifecyclePhase.SERVING:
            self._operations.give_up("the instance is about to end", self._supervisor_state.context.generation.number)
        match phase:
            case LifecyclePhase.SERVING:
                self._has_served = True
                log.info("ready")
                self._tell_ready()
                if self._handover_state is not None:
                    self._handover_state.ready()
                    if process_table.control.child is not None:
                        process_table.control.child.say(FOLLOW)
            case LifecyclePhase.YIELDING:
                limit_s = self._config.restart_drain_s
                self._deadline = now + limit_s + 2 * worker.OVERTIME_S
                self._supervisor_state.context.listen_sockets.close_copies()
                if process_table.control.child is not None:
                    process_table.finish([process_table.control.child], CLOSING_S)
                process_table.finish(process_table.worker_children, limit_s)
            case LifecyclePhase.DELAYING:
                self._deadline = now + self._config.shutdown_delay_s
                self._tell_stopping("not ready any more, still accepting")
                log.info("not ready any more; still accepting for %gs", self._config.shutdown_delay_s)
            case LifecyclePhase.DRAINING:
                limit_s = self._config.drain_s
                self._deadline = now + limit_s + 2 * worker.OVERTIME_S
                self._tell_stopping("draining")
                if self._handover_state is not None and self._successor is None:  # else they are its own, and it goes on
                    self._handover_state.stop(limit_s)
                log.info("draining: no new connections, up to %gs for those in flight", limit_s)
                self._supervisor_state.context.listen_sockets.close_listeners()
                process_table.finish(process_table.worker_children, limit_s)
            case LifecyclePhase.CLOSING:
                self._deadline = now + CLOSING_S
                process_table.finish(process_table.everyone, CLOSING_S)
            case LifecyclePhase.KILLING:
                log.warning("killed while still %s", before.value)
                for child in process_table.everyone:
                    child.kill()
