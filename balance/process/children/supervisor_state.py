"""The supervisor's mutable state: the context of the next children, the process table, the backend slots."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from balance.config.model import Config
from balance.errors import StartError
from balance.health.readiness import Stage
from balance.health.states import State
from balance.process.children.child_context import ChildContext
from balance.process.children.process_table import ProcessTable
from balance.process.generation import Generation, trim_history
from balance.process.ipc.messages import REOPEN_LOGS, REWRITE_STATES
from balance.process.log_files import ACCESS, LogFiles
from balance.process.sockets.listen_sockets import ListenSockets, ephemeral_ports
from balance.runtime.backend_slots import NOBODY, Assignment, SlotBook
from balance.tls.backend_context import BackendContexts
from balance.tls.contexts import TlsContexts
from balance.tls.pem_loading import TlsError

log = logging.getLogger("balance.process")


@dataclass(slots=True)
class SupervisorState:
    """One per instance."""

    context: ChildContext
    process_table: ProcessTable
    book: SlotBook
    configure_logs: Callable[[Generation], None]  # applies a generation's logging section to this process
    stage: Stage = Stage.STARTING  # as /status shows it

    def ephemeral_ports(self) -> dict[tuple[str, str], str]:
        """The ports that the kernel chose for port 0: (listener, configured address) -> bound address."""
        chosen = ephemeral_ports(self.context.config, self.context.listen_sockets)
        return {(name, str(configured)): str(bound) for (name, configured), bound in chosen.items()}

    def reopen_logs(self) -> None:
        """Reopen log files in every process, after a rotation."""
        self.configure_logs(self.context.generation)
        control = self.process_table.control.child
        files = self._log_files()
        for child in [*self.process_table.live_workers, *([control] if control is not None else [])]:
            child.send(REOPEN_LOGS, files.names, files.fds)
        self.use_access_log(files.take(ACCESS))
        files.close()

    def _log_files(self) -> LogFiles:
        """The files of logs for children that may not open them. Where one can't be opened, all goes on where it was."""
        if self.context.credentials is None:
            return LogFiles()
        try:
            return LogFiles.open(self.context.config.logging)
        except StartError as error:
            log.error("%s; logs go on where they were", error)
            return LogFiles()

    def use_access_log(self, opened: int | None) -> None:
        """Children that are forked from now on write their access log there; None: as before, or they open it."""
        if opened is None:
            return
        if self.context.access_log_fd is not None:
            os.close(self.context.access_log_fd)
        self.context = replace(self.context, access_log_fd=opened)

    def restore_shared_state(self) -> None:
        """After a failed upgrade: undo what the new instance wrote to shared memory."""
        board = self.context.board
        board.set_generation(self.context.generation.number)
        board.set_stage(self.stage)
        self.process_table.clear_stale_rows()
        if self.process_table.control.child is not None:
            self.process_table.control.child.send(REWRITE_STATES)

    def _carry_over_admin_states(self, assignment: Assignment, generation: Generation) -> None:
        """A new backend slot starts as unknown, except for drain and maintenance set by an operator on that name, and for what
        discovery has lost for a moment.
        """
        names = [(each.pool, name) for each in generation.discovered for name in each.returning]
        known = self.context.names  # what has or had each slot
        returning = {slot for name in names if known.get(slot := assignment.slots.get(name, NOBODY)) == name}
        returning -= assignment.reused
        board, before = self.context.board, self.context.slots
        for name, slot in assignment.slots.items():
            old = before.get(name)
            if old == slot:
                continue
            if slot in returning:
                continue  # as it was left
            state, since = board.state(old) if old is not None else (State.UNKNOWN, 0.0)
            if old is not None and state.is_operator_set:
                board.set_state(slot, state, since, board.reason(old))
            else:
                board.set_state(slot, State.UNKNOWN, 0.0)

    def keep_serving(self, generation: Generation) -> None:
        """The configuration is unchanged; keep its generation, with the new source and runtime changes."""
        *before, current = self.context.history
        current = replace(current, source=generation.source, changes=generation.changes, discovered=generation.discovered)
        self.context = replace(self.context, history=(*before, current))

    def _tls_contexts(self, config: Config) -> tuple[TlsContexts, BackendContexts]:
        """Made here too, before the fork, so that tickets are known to all workers, and a worker's successor has the newest.
        Workers that live make their own; where the policy of a listener has changed, theirs and those of successors differ.
        """
        try:
            return TlsContexts(config, self.context.tls), BackendContexts(config, self.context.tls_to_backends)
        except TlsError as error:  # it was loaded a moment ago; an environment variable is missing here, say
            if not self.context.history:
                raise StartError(f"tls.{error.key}: {error}") from None
            log.error("TLS can't be prepared for workers to come: tls.%s: %s", error.key, error)
            return self.context.tls, self.context.tls_to_backends

    def apply_generation(self, generation: Generation, assignment: Assignment, listen_sockets: ListenSockets) -> None:
        """Commit a configuration: every child forked from now on gets it."""
        board = self.context.board
        board.clear_slots(assignment.reused)
        if self.context.history:
            self._carry_over_admin_states(assignment, generation)
        board.use_slots(assignment.used)
        self.book.adopt(assignment)
        before = self.context.history[:-1] if generation.refreshed else self.context.history  # it is the same, with news
        history = tuple(trim_history([*before, generation]))
        tls, tls_to_backends = self._tls_contexts(generation.config)
        self.context = replace(
            self.context,
            history=history,
            listen_sockets=listen_sockets,
            names=self.book.names,
            tls=tls,
            tls_to_backends=tls_to_backends,
        )
        board.set_generation(generation.number)
