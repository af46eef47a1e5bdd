"""Bootstrap of an instance: creates or inherits what its processes share, and defines what each child runs after the fork."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence

from balance.config.model import Config
from balance.config.source import Source
from balance.process import logs, privileges
from balance.process.children.autoscaling_state import AutoscalingState
from balance.process.children.child import Child, SupervisorPipe
from balance.process.children.child_context import ChildContext
from balance.process.children.process_table import ProcessTable
from balance.process.children.supervisor_state import SupervisorState
from balance.process.generation import Generation
from balance.process.ipc.wakeup import Wakeup
from balance.process.log_files import ACCESS, LogFiles
from balance.process.operations.upgrade_protocol import HandoverState
from balance.process.privileges import credentials_of
from balance.process.shared_memory.row_ownership import RowOwnership
from balance.process.sockets.listen_sockets import ListenSockets, inode
from balance.process.supervisor.shared_state import create_shared_state
from balance.process.worker import worker


class Bootstrap:
    """One per instance. `supervisor_state` is the result; nothing is forked yet."""

    supervisor_state: SupervisorState

    def __init__(
        self,
        config: Config,
        source: Source,
        listen_sockets: ListenSockets,
        selector: selectors.BaseSelector,
        after_fork_in_child: Sequence[Callable[[], object]],
        handover_state: HandoverState | None = None,
        *,
        watch_config: bool = False,
    ) -> None:
        """`after_fork_in_child` functions close, in every child, what only the supervisor may hold. `handover_state` comes from
        the instance that is replaced by an upgrade. `watch_config`: a change of the configuration file is a reload.
        """
        self._close_in_child = after_fork_in_child
        self._handover_state = handover_state
        credentials = credentials_of(config)
        liveness_pipe, self._liveness_write_end = os.pipe()
        shared = create_shared_state(config, handover_state)
        number = 1 if handover_state is None else handover_state.generation + 1
        changes = () if handover_state is None else tuple(handover_state.changes)
        origin = "start" if handover_state is None else "upgrade"
        discovered = () if handover_state is None else tuple(handover_state.discovered)
        generation = Generation(
            number, config, shared.assignment.slots, source, changes, time.time(), origin, discovered=discovered
        )
        context = ChildContext(
            history=(),
            board=shared.board,
            locks=shared.locks,
            listen_sockets=listen_sockets,
            wakeups=tuple(Wakeup() for _ in range(shared.board.max_rows)),
            liveness_pipe=liveness_pipe,
            supervisor_pid=os.getpid(),
            started_at=time.time(),
            names={},
            control_restarts=shared.board.control_restarts,
            watch_config=watch_config,
            autoscaling=AutoscalingState() if handover_state is None else handover_state.autoscaling,
            key_states={} if handover_state is None else dict(handover_state.key_states),
            credentials=credentials,
            access_log_fd=_access_log(config) if credentials is not None else None,
        )
        process_table = ProcessTable(
            config.workers,
            self._worker_main,
            self._control_main,
            selector,
            RowOwnership(shared.board, shared.locks),
            self._inodes,
            self._after_fork_in_child,
        )
        self.supervisor_state = SupervisorState(context, process_table, shared.book, _log_as)
        self.supervisor_state.apply_generation(generation, shared.assignment, listen_sockets)

    def _inodes(self, worker_number: int | None) -> frozenset[int]:
        return frozenset(inode(sock) for _, sock in self.supervisor_state.context.listen_sockets.for_child(worker_number))

    # --- in the child, right after the fork ---------------------------------------------------------

    def _worker_main(self, child: Child, supervisor_pipe: SupervisorPipe) -> int:
        assert child.worker_number is not None and child.row is not None
        self._drop_privileges()
        self.supervisor_state.context.autoscaling.close()
        return worker.run(self.supervisor_state.context, child.worker_number, child.row, supervisor_pipe)

    def _control_main(self, child: Child, supervisor_pipe: SupervisorPipe) -> int:
        # Imported here: workers do not load the admin server's libraries.
        from balance.process.control import control

        self._drop_privileges()
        return control.run(self.supervisor_state.context, supervisor_pipe)

    def _drop_privileges(self) -> None:
        if self.supervisor_state.context.credentials is not None:
            privileges.drop(self.supervisor_state.context.credentials)

    def _after_fork_in_child(self, name: str) -> None:
        """Close what only the supervisor may hold; above all the write end of the liveness pipe."""
        os.close(self._liveness_write_end)
        if self._handover_state is not None:
            self._handover_state.close_pipe()
        for after_fork_in_child in self._close_in_child:
            after_fork_in_child()
        logs.configure_child(self.supervisor_state.context.config.logging, name)


def _access_log(config: Config) -> int | None:
    """The file of the access log, opened for children that may not."""
    files = LogFiles.open(config.logging)
    opened = files.take(ACCESS)
    files.close()
    return opened


def _log_as(generation: Generation) -> None:
    """Apply a generation's logging section to this process."""
    logs.reopen(generation.config.logging)
