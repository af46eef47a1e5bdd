"""A reload: load the configuration, then a two-phase commit over all processes: prepared in every one, or changed in none.

    LOADING ──▶ PREPARING ──▶ COMMITTING ──▶ OVER
       │ invalid    │ refused, timeout, port in use
       └────────────┴─────────▶ OVER, nothing has changed

A configuration that equals the one that is served (only a comment was changed, say) is not prepared, and the generation keeps
its number.

The decision is SupervisorState.apply_generation(), once everybody has prepared: every child forked after it has the new
configuration. A child that does not commit in time is killed, and restarted with it. `new_config` decides what is loaded.
"""

from __future__ import annotations

import enum
import logging
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import chain

from balance.admin.supervisor_orders import ChangeBackends, ChangeDiscovered, FailedReload, OrderResult, Reload, ReloadResult
from balance.config.overrides.difference import NOTHING_CHANGED
from balance.config.reading.tls_files import KEPT, KEPT_LIST
from balance.errors import StartError
from balance.process.children.child import Child, ChildState
from balance.process.children.supervisor_state import SupervisorState
from balance.process.ipc.messages import (
    ABORT,
    COMMIT,
    COMMITTED,
    LOAD_FAILED,
    LOADED,
    PREPARE,
    PREPARED,
    REFUSED,
    RELOAD_FAILED,
)
from balance.process.ipc.pipe import Message, to_memfd
from balance.process.log_files import ACCESS, LogFiles
from balance.process.operations.load_config import Loaded, load
from balance.process.operations.new_config import ConfigRejectedError, NewConfig, load_request_for, propose
from balance.process.operations.startup_log import faults, limit_warnings
from balance.process.sockets.listen_sockets import inode
from balance.tls.settings import Served

log = logging.getLogger("balance.process")

LOAD_TIMEOUT_S = 60.0
PREPARE_TIMEOUT_S = 20.0  # a stalled worker is killed after 10 s, and the restarted one can still prepare
COMMIT_TIMEOUT_S = 10.0
NEVER = float("inf")
MAX_PROBLEMS = 50  # that are told


class ReloadStep(enum.Enum):
    LOADING = "loading"
    PREPARING = "preparing"
    COMMITTING = "committing"
    OVER = "over"


class ReloadOperation:
    """See the module."""

    def __init__(
        self,
        supervisor_state: SupervisorState,
        order: Reload | ChangeBackends | ChangeDiscovered,
        origin: str,
        on_result: Callable[[OrderResult], None],
    ) -> None:
        """`origin` is for the log; `on_result` is called once."""
        self.deadline = NEVER
        self._supervisor_state = supervisor_state
        self._order = order
        self._origin = origin
        self._on_result = on_result
        self._step = ReloadStep.LOADING
        self._loader: Child | None = None
        self._pending: set[Child] = set()  # children that have not answered yet
        self._requested: dict[Child, frozenset[int]] = {}  # with the inodes of the sockets it is to have
        self._opened_config: NewConfig | None = None  # from PREPARING on
        self._config_update_fd = -1  # memfd with the ConfigUpdate
        self._log_files = LogFiles()  # for children that may not open them

    @property
    def is_over(self) -> bool:
        return self._step is ReloadStep.OVER

    # --- reading ----------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        try:
            request, self._origin = load_request_for(self._order, self._supervisor_state.context, self._origin)
        except ConfigRejectedError as error:
            self._fail(str(error))
            return
        config = self._supervisor_state.context.config
        in_use = [*(listener.tls for listener in config.listeners), config.admin.tls.policy]
        towards_backends = (pool.tls.client for pool in config.pools if pool.tls.client is not None)
        served = Served(
            (*chain.from_iterable(tls.certificates for tls in in_use), *towards_backends),
            tuple(tls.client_crl_file for tls in in_use),
        )
        request = replace(request, served=served)
        self._loader = Child("loader")
        self.deadline = now + LOAD_TIMEOUT_S
        try:
            context = self._supervisor_state.context
            self._supervisor_state.process_table.fork_child(
                self._loader,
                lambda supervisor_pipe: load(request, context.listen_sockets, supervisor_pipe, context.supervisor_pid),
            )
        except OSError as error:
            self._fail(f"cannot start the loader: {error.strerror}")

    def on_message(self, child: Child, message: Message, now: float) -> None:
        if child is self._loader:
            self._loader = None  # it exits by itself
            if self._step is ReloadStep.LOADING:
                if message.kind == LOAD_FAILED:
                    self._fail(*message.data)
                elif message.kind == LOADED:
                    self._on_loaded(message.data, now)
        elif message.kind == PREPARED and self._step is ReloadStep.PREPARING and message.data == self._number:
            self._pending.discard(child)
            self._advance(now)
        elif message.kind == REFUSED and self._step is ReloadStep.PREPARING and message.data[0] == self._number:
            self._fail(f"{child.name}: {message.data[1]}")
        elif message.kind == COMMITTED and self._step is ReloadStep.COMMITTING and message.data == self._number:
            self._pending.discard(child)
            self._advance(now)

    @property
    def _new_config(self) -> NewConfig:
        assert self._opened_config is not None
        return self._opened_config

    @property
    def _number(self) -> int:
        return self._new_config.number

    def _on_loaded(self, loaded: Loaded, now: float) -> None:
        if isinstance(self._order, Reload) and not self._order.dry_run:
            for warning in limit_warnings(loaded.warnings):
                log.warning("%s", warning)
        for warning in loaded.warnings:
            if (KEPT in warning or KEPT_LIST in warning) and not self._order.dry_run:
                log.error("%s", warning)
        try:
            proposal = propose(loaded, self._supervisor_state, self._origin)
            if self._order.dry_run:
                self._complete(proposal.order_result(self._supervisor_state.context.generation.number))
                return
            self._opened_config = proposal.open_sockets(self._supervisor_state.context)
        except ConfigRejectedError as error:
            self._fail(str(error))
            return
        if self._opened_config.is_served(self._supervisor_state.context):
            self._finish_unchanged()
        else:
            self._prepare(now)

    def _finish_unchanged(self) -> None:
        """The configuration equals the one that is served."""
        new_config, number = self._new_config, self._supervisor_state.context.generation.number
        new_config.sockets_change.abort()
        self._supervisor_state.keep_serving(new_config.generation)
        self._log_dropped()
        log.log(self._level, "%s, configuration %d goes on (%s)", NOTHING_CHANGED, number, self._origin)
        self._count(ReloadResult.UNCHANGED)
        self._complete(new_config.order_result(number))

    # --- preparing --------------------------------------------------------------------------------------

    def _prepare(self, now: float) -> None:
        try:
            self._config_update_fd = to_memfd(pickle.dumps((PREPARE, self._new_config.config_update), pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            self._fail(f"no file of memory for it: {error.strerror}")
            return
        if self._supervisor_state.context.credentials is not None:
            try:
                self._log_files = LogFiles.open(self._new_config.generation.config.logging)
            except StartError as error:
                self._fail(str(error))
                return
        self._step = ReloadStep.PREPARING
        self.deadline = now + PREPARE_TIMEOUT_S
        for child_slot in self._supervisor_state.process_table.child_slots:
            if child_slot.child is not None and child_slot.child.state is ChildState.READY:
                self._send_prepare(child_slot.child)
        self._advance(now)

    def _send_prepare(self, child: Child) -> None:
        """Ask one child to prepare."""
        if child.worker_number is not None and child.worker_number >= self._new_config.generation.config.workers:
            return  # this configuration removes its slot
        prepare_request, new = self._new_config.prepare_request(child, self._log_files.names)
        self._requested[child] = inodes = frozenset(number for _, number in prepare_request.sockets)
        self._pending.add(child)
        assert child.pipe_end is not None
        fds = [self._config_update_fd, *(sock.fileno() for sock in new), *self._log_files.fds]
        child.pipe_end.send(PREPARE, prepare_request, fds)
        # If its pipe is full, it will not answer either, and the deadline ends the wait.
        child.inodes |= inodes

    def on_ready(self, child: Child, now: float) -> None:
        """A child was restarted with the old configuration meanwhile: it has to prepare as well."""
        if self._step is ReloadStep.PREPARING:
            self._send_prepare(child)

    def on_exit(self, child: Child, description: str, now: float) -> None:
        self._pending.discard(child)
        if child is self._loader:
            self._loader = None
            self._fail(description)
        else:
            self._advance(now)

    def _advance(self, now: float) -> None:
        if self._pending:
            return
        if (
            self._step is ReloadStep.PREPARING and self._supervisor_state.process_table.is_ready
        ):  # else a restarted child still has to prepare
            self._commit(now)
        elif self._step is ReloadStep.COMMITTING:
            self._finish_committed()

    # --- committing -------------------------------------------------------------------------------------

    def _commit(self, now: float) -> None:
        supervisor_state, new_config = self._supervisor_state, self._new_config
        generation = new_config.generation
        before = supervisor_state.context
        supervisor_state.use_access_log(self._log_files.take(ACCESS))
        supervisor_state.apply_generation(generation, new_config.assignment, new_config.listen_sockets)
        self._step = ReloadStep.COMMITTING
        self.deadline = now + COMMIT_TIMEOUT_S
        surplus = supervisor_state.process_table.set_worker_count(generation.config.workers)
        for child in self._requested:
            if child.state is ChildState.READY and child not in surplus:
                self._pending.add(child)
                child.inodes = self._requested[child]
                child.send(COMMIT, self._number)
        supervisor_state.process_table.stop_gracefully(surplus, before.config.restart_drain_s)
        for child_slot in supervisor_state.process_table.workers:
            if child_slot.child is None and child_slot.restart_at is None:
                child_slot.restart_at = now  # a new slot
        supervisor_state.configure_logs(generation)
        self._advance(now)

    def _finish_committed(self) -> None:
        new_config = self._new_config
        new_config.sockets_change.commit()
        self._log_dropped()
        log.log(self._level, "configuration %d is served (%s): %s", new_config.number, self._origin, new_config.summary)
        for line in (*faults(new_config.generation.config, time.time()), *new_config.lines[:20]):
            log.log(self._level, "%s", line)
        self._count(ReloadResult.SUCCESS)
        self._complete(new_config.order_result(new_config.number))

    @property
    def _level(self) -> int:
        """What discovery finds is said by control, in the words of the pool that it is about, and not with each refresh."""
        return logging.DEBUG if isinstance(self._order, ChangeDiscovered) else logging.INFO

    def _log_dropped(self) -> None:
        if isinstance(self._order, ChangeDiscovered):
            return  # control says it
        for line in self._new_config.dropped:
            log.warning("%s", line)

    def _count(self, result: ReloadResult) -> None:
        """Count the result; changes at run time are not reloads."""
        if isinstance(self._order, Reload):
            self._supervisor_state.context.board.count_reload(result)

    def on_deadline(self, now: float) -> None:
        if self._step is ReloadStep.COMMITTING:
            for child in self._pending:
                log.error("%s (pid %d) did not follow to configuration %d: killing it", child.name, child.pid, self._number)
                child.kill()
            self.deadline = NEVER  # their exits complete it
        elif self._step is ReloadStep.LOADING:
            self._fail(
                f"the configuration was not read, and the names that it listens on not resolved, within {LOAD_TIMEOUT_S:g}s"
            )
        else:
            names = sorted(child.name for child in self._pending) or [self._supervisor_state.process_table.unready_names]
            self._fail(f"{', '.join(names)} did not answer within {PREPARE_TIMEOUT_S:g}s")

    def after_fork_in_child(self) -> None:
        # A copy of a listening socket keeps its port open: clients would wait for an accept() that never comes.
        if self._opened_config is not None:
            self._opened_config.sockets_change.close_unused_in_child(self._supervisor_state.context.listen_sockets)
        if self._config_update_fd >= 0:
            os.close(self._config_update_fd)
        self._log_files.close()

    def abort(self, why: str) -> None:
        if self._step is ReloadStep.COMMITTING:
            self._finish_committed()
        else:
            self._fail(why)

    def _fail(self, *problems: str) -> None:
        """Abort: undo what was prepared, and report why."""
        if self.is_over:
            return
        number = self._supervisor_state.context.generation.number
        if self._opened_config is not None:
            self._opened_config.sockets_change.abort()
            for child in self._requested:
                child.send(ABORT, self._number)
                child.inodes &= frozenset(
                    inode(sock) for _, sock in self._supervisor_state.context.listen_sockets.for_child(child.worker_number)
                )
        if not self._order.dry_run:
            self._count(ReloadResult.FAILURE)
            level = logging.DEBUG if isinstance(self._order, ChangeDiscovered) else logging.ERROR
            log.log(level, "the configuration is not changed, configuration %d goes on (%s):", number, self._origin)
            for problem in problems[:MAX_PROBLEMS]:
                log.log(level, "%s", problem)
            control = self._supervisor_state.process_table.control.child
            if control is not None and isinstance(self._order, Reload):
                control.send(RELOAD_FAILED, FailedReload(time.time(), self._origin, problems[:MAX_PROBLEMS]))
        self._complete(OrderResult(False, number, (), problems, (), NOTHING_CHANGED))

    def _complete(self, order_result: OrderResult) -> None:
        self._step = ReloadStep.OVER
        self.deadline = NEVER
        if self._config_update_fd >= 0:
            os.close(self._config_update_fd)
            self._config_update_fd = -1
        self._log_files.close()
        if self._loader is not None:
            self._loader.kill()
        self._on_result(order_result)
