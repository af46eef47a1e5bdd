"""How an instance is founded: all that its processes share, and what each of them is right after the fork.

What the supervisor makes of it afterwards is in `supervisor`; what is shared may be gone on with from an instance before.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence

from balance.config.model import Config
from balance.config.source import Source
from balance.process import logs
from balance.process.children.child import Child, Report
from balance.process.children.child_context import ChildContext
from balance.process.children.process_table import ProcessTable
from balance.process.children.supervisor_state import SupervisorState
from balance.process.generation import Generation
from balance.process.ipc.wakeup import Wakeup
from balance.process.operations.upgrade_protocol import HandoverState
from balance.process.shared_memory.row_ownership import RowOwnership
from balance.process.sockets.listen_sockets import ListenSockets, inode
from balance.process.supervisor.shared_state import shared_state
from balance.process.worker import worker


class Bootstrap:
    """One per instance. `estate` is what the supervisor holds from now on; nobody is born yet."""

    supervisor_state: SupervisorState

    def __init__(
        self,
        config: Config,
        source: Source,
        listen_sockets: ListenSockets,
        selector: selectors.BaseSelector,
        let_go: Sequence[Callable[[], object]],
        handover_state: HandoverState | None = None,
        *,
        is_watched: bool = False,
    ) -> None:
        """`let_go` is called in every child first: it closes what only the supervisor may hold. `legacy` is what another
        instance has left, which this one takes the place of. `is_watched`: a change of the file is a reload."""
        self._let_go_of = let_go
        self._handover_state = handover_state
        lifeline, self._lifeline_end = os.pipe()
        made = shared_state(config, handover_state)
        number = 1 if handover_state is None else handover_state.generation + 1
        changes = () if handover_state is None else tuple(handover_state.changes)
        origin = "start" if handover_state is None else "upgrade"
        generation = Generation(number, config, made.assignment.slots, source, changes, time.time(), origin)
        context = ChildContext(
            history=(),
            board=made.board,
            locks=made.locks,
            listen_sockets=listen_sockets,
            wakeups=tuple(Wakeup() for _ in range(made.board.max_rows)),
            lifeline=lifeline,
            supervisor_pid=os.getpid(),
            started_at=time.time(),
            names={},
            control_restarts=made.board.control_restarts,
            is_watched=is_watched,
        )
        process_table = ProcessTable(
            config.workers,
            self._be_worker,
            self._be_control,
            selector,
            RowOwnership(made.board, made.locks),
            self._inodes,
            self._let_go,
        )
        self.supervisor_state = SupervisorState(context, process_table, made.book, _log_as)
        self.supervisor_state.settle(generation, made.assignment, listen_sockets)

    def _inodes(self, slot: int | None) -> frozenset[int]:
        return frozenset(inode(sock) for _, sock in self.supervisor_state.context.listen_sockets.of(slot))

    # --- in the child, right after the fork ---------------------------------------------------------

    def _be_worker(self, child: Child, report: Report) -> int:
        assert child.slot is not None and child.row is not None
        return worker.run(self.supervisor_state.context, child.slot, child.row, report)

    def _be_control(self, child: Child, report: Report) -> int:
        # Imported here, so that no worker carries the side doors' libraries.
        from balance.process.control import control

        return control.run(self.supervisor_state.context, report)

    def _let_go(self, name: str) -> None:
        """Close what only the supervisor may hold; its end of the lifeline above all."""
        os.close(self._lifeline_end)
        if self._handover_state is not None:
            self._handover_state.hang_up()
        for let_go in self._let_go_of:
            let_go()
        logs.speak_as(self.supervisor_state.context.config.logging, name)


def _log_as(generation: Generation) -> None:
    """Speak as that configuration says, from now on."""
    logs.reopen(generation.config.logging)
