"""What the supervisor holds, and whoever acts for it may change: the seat of those to be born, the staff, the slots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from balance.health.readiness import Stage
from balance.health.states import State
from balance.process.children.child_context import ChildContext
from balance.process.children.process_table import ProcessTable
from balance.process.generation import Generation, trim_history
from balance.process.ipc.messages import REOPEN_LOGS, REWRITE_STATES
from balance.process.sockets.listen_sockets import ListenSockets, ephemeral_ports
from balance.runtime.backend_slots import Assignment, SlotBook


@dataclass(slots=True)
class SupervisorState:
    """One per instance."""

    context: ChildContext
    process_table: ProcessTable
    book: SlotBook
    configure_logs: Callable[[Generation], None]  # have this process log as that configuration says
    stage: Stage = Stage.STARTING  # how far this instance is

    def ephemeral_ports(self) -> dict[tuple[str, str], str]:
        """What the kernel chose for listeners on port 0, in words: (listener, as configured) -> as bound."""
        chosen = ephemeral_ports(self.context.config, self.context.listen_sockets)
        return {(name, str(wanted)): str(bound) for (name, wanted), bound in chosen.items()}

    def reopen_logs(self) -> None:
        """In every process: the files may have been moved away."""
        self.configure_logs(self.context.generation)
        control = self.process_table.control.child
        for child in [*self.process_table.live_workers, *([control] if control is not None else [])]:
            child.send(REOPEN_LOGS)

    def restore_shared_state(self) -> None:
        """What another instance may have written on the board does not hold: it was to take over, and did not."""
        board = self.context.board
        board.set_generation(self.context.generation.number)
        board.set_stage(self.stage)
        self.process_table.clear_stale_rows()
        if self.process_table.control.child is not None:
            self.process_table.control.child.send(REWRITE_STATES)

    def _carry_over_admin_states(self, assignment: Assignment) -> None:
        """Nothing is known of a backend that comes, but what an operator said of the one that had its name."""
        board, before = self.context.board, self.context.slots
        for name, slot in assignment.slots.items():
            old = before.get(name)
            if old == slot:
                continue
            state, since = board.state(old) if old is not None else (State.UNKNOWN, 0.0)
            if old is not None and state.is_operator_set:
                board.set_state(slot, state, since, board.reason(old))
            else:
                board.set_state(slot, State.UNKNOWN, 0.0)

    def keep_serving(self, generation: Generation) -> None:
        """What is served goes on; from now on it is said to come from that one's source, with that one's changes over it."""
        *before, current = self.context.history
        current = replace(current, source=generation.source, changes=generation.changes)
        self.context = replace(self.context, history=(*before, current))

    def apply_generation(self, generation: Generation, assignment: Assignment, listen_sockets: ListenSockets) -> None:
        """From now on every child is born into this configuration."""
        board = self.context.board
        board.clear_slots(assignment.reused)
        if self.context.history:
            self._carry_over_admin_states(assignment)
        board.use_slots(assignment.used)
        self.book.adopt(assignment)
        history = tuple(trim_history([*self.context.history, generation]))
        self.context = replace(self.context, history=history, listen_sockets=listen_sockets, names=self.book.names)
        board.set_generation(generation.number)
