"""A supervisor whose process table forks nothing: the test decides what its children do."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from child_contexts import context

from balance.admin.supervisor_orders import OrderResult
from balance.config.model import AdminConfig, BackendConfig, Config, ListenerConfig, MetricsConfig, PoolConfig
from balance.model import Address, Mode
from balance.process.children.child import Child, ChildState, SupervisorPipe
from balance.process.children.child_slot import ChildSlot
from balance.process.children.process_table import ProcessTable
from balance.process.children.supervisor_state import SupervisorState
from balance.process.generation import Generation
from balance.process.ipc.messages import GRACEFUL_STOP
from balance.process.ipc.pipe import Message, PipeEnd, pipe_pair
from balance.process.operations.operation import Operation
from balance.process.shared_memory.board import Board
from balance.process.shared_memory.locks import Locks
from balance.process.shared_memory.row_ownership import RowOwnership
from balance.process.sockets.listen_sockets import inode, open_all
from balance.runtime.backend_slots import SlotBook

LOCAL = Address("127.0.0.1", 0)


def configured(*backends: str, workers: int = 2, **changes: Any) -> Config:
    """A listener, an admin port and a pool of these backends."""
    return Config(
        listeners=(ListenerConfig("main", (LOCAL,), Mode.HTTP, "web"),),
        pools=(PoolConfig("web", tuple(BackendConfig(name, Address("127.0.0.1", 1)) for name in backends)),),
        workers=workers,
        admin=AdminConfig(address=LOCAL),
        metrics=MetricsConfig(address=None),
        **changes,
    )


class FakeProcessTable(ProcessTable):
    """Forks nothing."""

    def __init__(self, workers: int, inodes: Callable[[int | None], frozenset[int]], board: Board) -> None:
        self.bodies: dict[Child, Callable[[SupervisorPipe], int]] = {}
        self.child_ends: dict[Child, PipeEnd] = {}  # the children's ends of their lines
        self.refusal: OSError | None = None  # why no more children are born
        self._next_pid = 4_000_000  # more than any real one

        rows = RowOwnership(board, Locks())
        super().__init__(
            workers,
            lambda child, supervisor_pipe: 0,
            lambda child, supervisor_pipe: 0,
            selectors.DefaultSelector(),
            rows,
            inodes,
            print,
        )

    def fork_child(self, child: Child, body: Callable[[SupervisorPipe], int]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._next_pid += 1
        child.pid, child.state = self._next_pid, ChildState.STARTING
        child.pipe_end, self.child_ends[child] = pipe_pair()
        self.bodies[child] = body
        self.unassigned.append(child)


class FakeSupervisor:
    """Two ready workers and control, and one operation."""

    def __init__(self, config: Config, monkeypatch: pytest.MonkeyPatch, max_slots: int = 8, max_rows: int = 8) -> None:
        self.killed: list[Child] = []
        self.order_results: list[OrderResult] = []
        self.logged_generations: list[Generation] = []  # whose log was begun
        monkeypatch.setattr(
            Child, "kill", lambda child: self.killed.append(child) if child.state is not ChildState.EXITED else None
        )
        child_context = context(max_slots=max_slots, max_rows=max_rows)
        listen_sockets = open_all(config)
        book = SlotBook(max_slots)
        assignment = book.assign(config, child_context.board.is_unused)
        generation = replace(child_context.generation, config=config, slots=assignment.slots)
        self.supervisor_state = SupervisorState(
            replace(child_context, history=()),
            FakeProcessTable(config.workers, self._inodes, child_context.board),
            book,
            self.logged_generations.append,
        )
        self.supervisor_state.apply_generation(generation, assignment, listen_sockets)
        for child_slot in self.process_table.child_slots:
            self.ready(self.process_table.fork_into_slot(child_slot))

    def _inodes(self, slot: int | None) -> frozenset[int]:
        return frozenset(inode(sock) for _, sock in self.supervisor_state.context.listen_sockets.for_child(slot))

    @property
    def process_table(self) -> FakeProcessTable:
        process_table = self.supervisor_state.process_table
        assert isinstance(process_table, FakeProcessTable)
        return process_table

    @property
    def control(self) -> Child:
        assert self.process_table.control.child is not None
        return self.process_table.control.child

    def worker(self, number: int) -> Child:
        child = self.process_table.workers[number].child
        assert child is not None
        return child

    @property
    def assigned_children(self) -> list[Child]:
        return [child_slot.child for child_slot in self.process_table.child_slots if child_slot.child is not None]

    @property
    def number(self) -> int:
        """The number of the generation that is served."""
        return self.supervisor_state.context.generation.number

    def ready(self, child: Child, operation: Operation | None = None, now: float = 0.0) -> None:
        """The child reports that it is ready."""
        child.state = ChildState.READY
        if operation is not None:
            operation.on_ready(child, now)

    def exit_child(
        self, child: Child, operation: Operation, words: str = "it was killed", now: float = 0.0
    ) -> ChildSlot | None:
        """The child exits; returns the slot that it filled."""
        child.state = ChildState.EXITED
        child.close_pipe()
        vacant = next((child_slot for child_slot in self.process_table.child_slots if child_slot.child is child), None)
        if vacant is not None:
            vacant.child = None
        else:
            self.process_table.unassigned.remove(child)
        operation.on_exit(child, words, now)
        return vacant

    def sent_to(self, child: Child) -> list[Message]:
        """The messages sent to the child since the last call."""
        return self.process_table.child_ends[child].receive()[0]

    def kinds(self, child: Child) -> list[str]:
        return [message.kind for message in self.sent_to(child)]

    def drain_limit(self, child: Child) -> float | None:
        """The time limit it was told to drain within, if any."""
        return next((message.data for message in self.sent_to(child) if message.kind == GRACEFUL_STOP), None)

    @property
    def order_result(self) -> OrderResult:
        """The only one."""
        (order_result,) = self.order_results
        return order_result

    def close(self) -> None:
        for child, end in self.process_table.child_ends.items():
            child.close_pipe()
            end.close()
        self.supervisor_state.context.listen_sockets.close()
