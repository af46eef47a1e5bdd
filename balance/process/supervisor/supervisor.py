"""The supervisor process: forks the children, handles signals and orders, restarts children that die, and shuts down in order.

No event loop and no thread, so it can fork at any time; it touches no connection. The state machine is in `lifecycle`; this
file acts on its phases. Reload, rolling restart and upgrade are in `operations` and run one at a time.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import time

from balance.admin.supervisor_orders import ChangeBackends, ChangeDiscovered, Order, OrderResult, Reload, Restart, Stop, Upgrade
from balance.config.model import Config
from balance.config.source import Source
from balance.errors import StartError
from balance.process.children import stall_detector
from balance.process.children.child import Child, ChildState
from balance.process.children.process_table import NEVER, ChildExit, ProcessTable
from balance.process.control import file_watcher
from balance.process.ipc.messages import (
    CERTIFICATE_CHANGED,
    FILE_CHANGED,
    FOUND_FILE,
    KEEPER,
    KEYS,
    KEYS_WANTED,
    LIST_CHANGED,
    ORDER,
    ORDER_RESULT,
    REREAD_STATES,
    SCALED,
)
from balance.process.ipc.pipe import Message
from balance.process.operations.operation import Operation
from balance.process.operations.operation_queue import OnResult, OperationQueue, log_only
from balance.process.operations.reload import ReloadOperation
from balance.process.operations.rolling_restart import RollingRestart
from balance.process.operations.upgrade import UpgradeOperation
from balance.process.operations.upgrade_protocol import STOP, HandoverState
from balance.process.os_calls import set_up_heap
from balance.process.shared_memory.board import Board
from balance.process.sockets.listen_sockets import ListenSockets
from balance.process.supervisor.bootstrap import Bootstrap
from balance.process.supervisor.lifecycle import AFTER_DEADLINE, AFTER_FIRST_SIGNAL, AFTER_SIGNAL, LifecyclePhase
from balance.process.supervisor.signals import Signals
from balance.process.supervisor.systemd import SystemdNotifier
from balance.process.worker import worker
from balance.runtime import counters

log = logging.getLogger("balance.process")

START_TIMEOUT_S = 30.0  # for imports on a slow, cold machine; a worker needs a tenth of a second
CLOSE_TIMEOUT_S = 3.0
WATCHER_INTERVAL_S = 5.0  # between two starts of a file watcher that dies
SIGNAL_DEBOUNCE_S = 0.3  # `timeout` signals its child and then the process group: one stop, not two


class Supervisor:
    """One instance, from its first fork to its last wait()."""

    def __init__(
        self,
        config: Config,
        source: Source,
        listen_sockets: ListenSockets,
        systemd: SystemdNotifier,
        handover_state: HandoverState | None = None,
        *,
        watch_config: bool = False,
    ) -> None:
        """`handover_state` comes from the instance that an upgrade replaces. `watch_config`: a change of the configuration file
        is a reload.
        """
        self._systemd = systemd
        self._phase = LifecyclePhase.STARTING
        self._deadline = time.monotonic() + START_TIMEOUT_S
        self._last_signal_at = -SIGNAL_DEBOUNCE_S  # when a signal was last acted on
        self._signals = Signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._handover_state = handover_state
        self._owns_board = handover_state is None  # else once this one serves
        self._successor: Child | None = None  # once it has taken over
        self._has_served = False
        self._was_killed = False
        self._operations = OperationQueue(self._make_operation, self._notify_ready)
        after_fork_in_child = (self._signals.close, self._selector.close, self._operations.after_fork_in_child)
        self._supervisor_state = Bootstrap(
            config, source, listen_sockets, self._selector, after_fork_in_child, handover_state, watch_config=watch_config
        ).supervisor_state
        self._file_watcher: Child | None = None
        self._watched_number = 0  # of the configuration whose files it looks at
        self._next_watcher_at = 0.0
        self._stall_detector = stall_detector.StallDetector()
        self._next_stall_check = NEVER

    def close(self) -> None:
        """At the end: close the listening sockets."""
        listen_sockets = self._supervisor_state.context.listen_sockets
        if self._successor is not None:
            return
        if self._handover_state is None or self._has_served:
            listen_sockets.close()
        else:  # the old instance goes on listening
            listen_sockets.close_except_paths(self._handover_state.owned_paths)

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
        """Returns the exit status: 0 after an orderly shutdown. StartError when the instance could not start."""
        gc.collect()
        set_up_heap()
        gc.freeze()  # the children's collectors leave these pages alone, and so they stay shared
        try:
            self._start_children()
            while self._phase is not LifecyclePhase.OVER:
                self._wait()
                for child_exit in self._process_table.reap_exited():
                    for message in child_exit.messages:
                        self._on_message(child_exit.child, message)
                    self._on_child_exit(child_exit)
                self._advance(time.monotonic())
            if self._successor is None:
                self._supervisor_state.context.autoscaling.farewell(*((1.0,) if self._was_killed else ()))
            log.info("ended")
            return 1 if self._was_killed else 0
        finally:
            if self._handover_state is not None and not self._has_served:
                self._process_table.detach_workers()  # their clients would have gone to the old instance, which goes on
            self._process_table.kill_all()

    def _start_children(self) -> None:
        for child_slot in self._process_table.child_slots:
            try:
                self._process_table.fork_into_slot(child_slot)
            except OSError as error:
                raise StartError(f"cannot start {child_slot.name}: {error.strerror or error}") from None

    def _wait(self) -> None:
        due = min(
            self._deadline,
            self._process_table.next_restart,
            self._next_stall_check,
            self._systemd.watchdog_due,
            self._operations.deadline,
        )
        timeout_s = None if due == NEVER else max(due - time.monotonic(), 0.0)
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                for signum in self._signals.received():
                    self._on_signal(signum)
            else:
                self._on_pipe_readable(key.data)

    def _on_pipe_readable(self, child: Child) -> None:
        has_become_ready, messages, is_open = self._process_table.receive(child)
        if not is_open and child is self._successor:
            self._on_successor_stopping()
        if has_become_ready:
            if self._phase is not LifecyclePhase.STARTING:
                log.info("%s (pid %d) is ready", child.name, child.pid)
            self._operations.on_ready(child, time.monotonic())
            if child is self._process_table.control.child:
                self._watched_number = 0  # it is told anew what files have
        for message in messages:
            self._on_message(child, message)

    def _on_message(self, child: Child, message: Message) -> None:
        if child is self._successor:
            if message.kind == STOP:
                self._on_successor_stopping()
        elif message.kind == KEYS_WANTED:
            for child_slot in self._process_table.child_slots:
                if child_slot.worker_number is None and child_slot.child is not None:
                    child_slot.child.send(KEYS_WANTED, message.data)
        elif child.worker_number is not None:  # a worker gives no orders, whoever has taken it over
            self._for_operation(child, message)
        elif message.kind == FILE_CHANGED:
            self._submit_order(Reload(), "the file has changed", log_only)
        elif message.kind == LIST_CHANGED:  # the configuration file is not read again, which nobody has asked for
            self._submit_order(ChangeBackends(()), "an access list has changed", log_only)
        elif message.kind == CERTIFICATE_CHANGED:
            self._submit_order(ChangeBackends(()), "a file of tls has changed", log_only)
        elif message.kind == FOUND_FILE:
            if child is self._file_watcher and self._process_table.control.child is not None:
                self._process_table.control.child.send(FOUND_FILE, message.data)
        elif message.kind == KEYS:
            self._pass_on_keys(message)
        elif message.kind == KEEPER:
            self._supervisor_state.context.autoscaling.hold(message.fds)
        elif message.kind == SCALED:
            self._supervisor_state.context.autoscaling.remember(message.data)
        elif message.kind == ORDER:
            number, order = message.data

            def on_result(order_result: OrderResult) -> None:
                child.send(ORDER_RESULT, (number, order_result))

            self._submit_order(order, "admin API", on_result)
        else:
            self._for_operation(child, message)

    def _for_operation(self, child: Child, message: Message) -> None:
        if not self._operations.on_message(child, message, time.monotonic()):
            for fd in message.fds:
                os.close(fd)

    def _pass_on_keys(self, message: Message) -> None:
        """Control has fetched keys: workers get them, those that drain, too, and every one that is forked later."""
        known = self._supervisor_state.context.key_states
        known.clear()
        known.update(message.data)
        for child in self._process_table.live_workers:
            child.send(KEYS, message.data)

    # --- orders -----------------------------------------------------------------------------------------

    def _on_signal(self, signum: signal.Signals) -> None:
        if signum is signal.SIGHUP:
            self._submit_order(Reload(), "SIGHUP", log_only)
        elif signum is signal.SIGUSR1:
            self._submit_order(Restart(), "SIGUSR1", log_only)
        elif signum is signal.SIGUSR2:
            self._submit_order(Upgrade(), "SIGUSR2", log_only)
        elif (following := AFTER_SIGNAL.get((self._phase, signum))) is not None:
            now = time.monotonic()
            if now < self._last_signal_at + SIGNAL_DEBOUNCE_S:
                return
            is_first = self._last_signal_at < 0
            self._last_signal_at = now
            if following is LifecyclePhase.KILLING and is_first:
                log.info("%s received: it ends already; one more ends it at once", signum.name)
                following = AFTER_FIRST_SIGNAL.get((self._phase, signum), self._phase)
            else:
                log.info("%s received", signum.name)
            if following is not self._phase:
                self._enter_phase(following)

    def _submit_order(self, order: Order, origin: str, on_result: OnResult) -> None:
        """Run an order now (stop) or queue it behind the others."""
        number = self._supervisor_state.context.generation.number
        if isinstance(order, Reload) and not order.dry_run:
            self._supervisor_state.reopen_logs()  # even if the reload fails: log rotation sends SIGHUP
        if isinstance(order, Stop):
            log.info("told to stop (%s)", origin)
            on_result(OrderResult(True, number, summary="draining"))
            if (following := AFTER_SIGNAL.get((self._phase, signal.SIGTERM))) in (
                LifecyclePhase.SHUTDOWN_DELAY,
                LifecyclePhase.DRAINING,
            ):
                self._enter_phase(following)
        elif self._phase not in (LifecyclePhase.STARTING, LifecyclePhase.SERVING):
            if on_result is log_only:
                log.warning("%s is not obeyed: the instance is about to end", origin)
            on_result(OrderResult(False, number, problems=("the instance is about to end",)))
        else:
            self._operations.add(order, origin, on_result, number)

    def _make_operation(self, order: Order, origin: str, on_result: OnResult) -> Operation:
        if isinstance(order, Restart):
            return RollingRestart(self._supervisor_state, origin, on_result)
        if isinstance(order, Upgrade):
            return UpgradeOperation(
                self._supervisor_state, origin, self._systemd.environment, self._handover_state, on_result, self._on_taken_over
            )
        assert isinstance(order, Reload | ChangeBackends | ChangeDiscovered)
        if not order.dry_run and not isinstance(order, ChangeDiscovered):
            self._systemd.reloading()
        return ReloadOperation(self._supervisor_state, order, origin, on_result)

    def _on_taken_over(self, successor: Child) -> None:
        """The new instance serves on our sockets and counts in our shared memory: drain."""
        self._successor = successor
        self._process_table.detach(successor)
        self._systemd.main_pid(successor.pid)
        log.info("process %d has taken over", successor.pid)
        self._enter_phase(LifecyclePhase.HANDED_OVER)

    def _on_successor_stopping(self) -> None:
        """The instance that took over stops, or has exited: so does this one."""
        if self._phase is LifecyclePhase.HANDED_OVER:
            log.info("the instance that took over ends, and so does this one")
            self._enter_phase(LifecyclePhase.DRAINING)
            if self._handover_state is not None:  # the successor may have died before it told them
                self._handover_state.stop(self._config.drain_s)

    # --- children ---------------------------------------------------------------------------------------

    def _on_child_exit(self, child_exit: ChildExit) -> None:
        child, child_slot = child_exit.child, child_exit.child_slot
        lost = self._process_table.clear_row(child)
        if self._phase is LifecyclePhase.STARTING:
            raise StartError(child_exit.description)
        description = child_exit.description
        if lost and child_exit.status:
            self._board.count_lost_connections(lost)
            description += f", and {lost} client connection{'s' if lost > 1 else ''} with it"
        if child_slot is not None and self._phase.restarts_children:
            if child_slot.worker_number is None:
                self._board.count_control_restart()
            else:
                self._board.count_worker_restart()
            now = time.monotonic()
            delay_s = child_slot.schedule_restart(now, now - child.started_at)
            log.error("%s; its successor starts %s", description, f"in {delay_s:g}s" if delay_s else "now")
        elif child_exit.status and self._phase is not LifecyclePhase.KILLING:
            log.warning("%s", description)
        self._operations.on_exit(child, child_exit.description, time.monotonic())

    def _advance(self, now: float) -> None:
        """Enter the next phase where the state of the children or the time demands it; run what is due."""
        process_table = self._process_table
        match self._phase:
            case LifecyclePhase.STARTING if process_table.is_ready:
                self._enter_phase(LifecyclePhase.SERVING)
            case LifecyclePhase.STARTING if now >= self._deadline:
                raise StartError(f"not ready within {START_TIMEOUT_S:g}s: {process_table.unready_names}")
            case LifecyclePhase.HANDED_OVER | LifecyclePhase.DRAINING if not process_table.live_workers:
                self._enter_phase(LifecyclePhase.CLOSING)
            case LifecyclePhase.CLOSING | LifecyclePhase.KILLING if not process_table.live_children:
                self._enter_phase(LifecyclePhase.OVER)
            case phase if now >= self._deadline:
                self._enter_phase(AFTER_DEADLINE[phase])
        process_table.start_due_restarts(now)
        self._watch_files(now)
        self._operations.advance(now, may_begin=self._phase is LifecyclePhase.SERVING)
        self._systemd.ping_watchdog(now)
        if now >= self._next_stall_check:
            self._next_stall_check = now + stall_detector.CHECK_INTERVAL_S
            self._check_stalls()

    def _watch_files(self, now: float) -> None:
        """Where control may not see the files of the configuration, have a process that may look at them."""
        context, watcher = self._supervisor_state.context, self._file_watcher
        if context.credentials is None:
            return
        is_due = self._phase is LifecyclePhase.SERVING
        number = context.generation.base  # what discovery finds names no files
        if watcher is not None and watcher.state is not ChildState.STOPPING and not (is_due and number == self._watched_number):
            watcher.stop_gracefully(0.0)
        is_watched = watcher is not None and watcher.state in (ChildState.STARTING, ChildState.READY)
        if is_due and not is_watched and (number != self._watched_number or now >= self._next_watcher_at):
            self._next_watcher_at = now + WATCHER_INTERVAL_S
            self._watched_number = number
            self._file_watcher = Child("file watcher")
            try:
                self._process_table.fork_child(
                    self._file_watcher, lambda supervisor_pipe: file_watcher.run(context, supervisor_pipe)
                )
            except OSError as error:
                log.error("changes of files are not noticed: cannot start a process: %s", error.strerror or error)

    def _notify_ready(self) -> None:
        if self._successor is not None or self._phase is not LifecyclePhase.SERVING:
            return
        generation = self._supervisor_state.context.generation
        self._systemd.ready(f"serving configuration {generation.number} with {len(self._process_table.workers)} workers")

    def _notify_stopping(self, status: str) -> None:
        if self._successor is None:  # else the successor goes on serving
            self._systemd.stopping(status)

    def _check_stalls(self) -> None:
        rows = self._board.rows
        heartbeats = {
            child: rows[child.row][counters.BEAT_US] for child in self._process_table.live_workers if child.row is not None
        }
        control = self._process_table.control.child
        if control is not None and control.state is ChildState.READY:
            heartbeats[control] = self._board.control_heartbeat
        if (
            control is not None
            and control.state is ChildState.STARTING
            and time.monotonic() > control.started_at + START_TIMEOUT_S
        ):
            log.error("%s (pid %d) is not ready within %gs: killing it", control.name, control.pid, START_TIMEOUT_S)
            control.kill()
        for child in self._stall_detector.stalled(heartbeats):
            log.error("%s (pid %d) does not turn any more: killing it", child.name, child.pid)
            child.kill()
        self._process_table.clear_stale_rows()  # left by another instance that was killed

    def _enter_phase(self, phase: LifecyclePhase) -> None:
        now = time.monotonic()
        before, self._phase, self._deadline = self._phase, phase, NEVER
        self._was_killed |= phase is LifecyclePhase.KILLING  # noted here: it may be over before anybody looks at the phase
        process_table = self._process_table
        self._supervisor_state.stage = phase.stage
        self._owns_board |= phase is LifecyclePhase.SERVING
        if self._owns_board and self._successor is None:  # else shared memory belongs to another instance
            self._board.set_stage(phase.stage)
        self._next_stall_check = now if phase.restarts_children else NEVER
        if not phase.restarts_children:
            process_table.cancel_restarts()
        if phase is not LifecyclePhase.SERVING:
            self._operations.abort("the instance is about to end", self._supervisor_state.context.generation.number)
        match phase:
            case LifecyclePhase.SERVING:
                self._has_served = True
                log.info("ready")
                self._notify_ready()
                if self._handover_state is not None:
                    self._handover_state.notify_ready()
                    if process_table.control.child is not None:
                        process_table.control.child.send(REREAD_STATES)
            case LifecyclePhase.HANDED_OVER:
                limit_s = self._config.restart_drain_s
                self._deadline = now + limit_s + 2 * worker.EXIT_GRACE_S
                self._supervisor_state.context.listen_sockets.close_copies()
                if process_table.control.child is not None:
                    process_table.stop_gracefully([process_table.control.child], CLOSE_TIMEOUT_S)
                process_table.stop_gracefully(process_table.live_workers, limit_s)
            case LifecyclePhase.SHUTDOWN_DELAY:
                self._deadline = now + self._config.shutdown_delay_s
                self._notify_stopping("not ready any more, still accepting")
                log.info("not ready any more; still accepting for %gs", self._config.shutdown_delay_s)
            case LifecyclePhase.DRAINING:
                limit_s = self._config.drain_s
                self._deadline = now + limit_s + 2 * worker.EXIT_GRACE_S
                self._notify_stopping("draining")
                if self._handover_state is not None and self._successor is None:  # else the successor tells them
                    self._handover_state.stop(limit_s)
                log.info("draining: no new connections, up to %gs for those in flight", limit_s)
                self._supervisor_state.context.listen_sockets.close_listeners()
                process_table.stop_gracefully(process_table.live_workers, limit_s)
            case LifecyclePhase.CLOSING:
                self._deadline = now + CLOSE_TIMEOUT_S
                process_table.stop_gracefully(process_table.live_children, CLOSE_TIMEOUT_S)
            case LifecyclePhase.KILLING:
                log.warning("killed while still %s", before.value)
                for child in process_table.live_children:
                    child.kill()
