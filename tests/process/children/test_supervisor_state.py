"""What the supervisor holds: one step makes another configuration the one that everybody is born into."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from dataclasses import replace

import pytest
from child_contexts import context

from balance.config.model import AdminConfig, BackendConfig, Config, ListenerConfig, MetricsConfig, PoolConfig
from balance.health.states import State
from balance.model import Address, Mode
from balance.process.children.child import Child, ChildState
from balance.process.children.process_table import ProcessTable
from balance.process.children.supervisor_state import SupervisorState
from balance.process.generation import MAX_GENERATIONS, Generation
from balance.process.ipc.messages import REOPEN_LOGS
from balance.process.ipc.pipe import pipe_pair
from balance.process.shared_memory.row_ownership import RowOwnership
from balance.process.sockets.listen_sockets import ListenSockets, open_all
from balance.runtime import counters
from balance.runtime.backend_slots import SlotBook


@pytest.fixture
def supervisor_state() -> Iterator[SupervisorState]:
    """An instance that serves b1 and b2, with room for one backend more, and nobody is born."""
    child_context = context(2, max_slots=5)
    with selectors.DefaultSelector() as selector:
        rows = RowOwnership(child_context.board, child_context.locks)
        process_table = ProcessTable(
            2,
            lambda child, supervisor_pipe: 0,
            lambda child, supervisor_pipe: 0,
            selector,
            rows,
            lambda worker_number: frozenset(),
            print,
        )
        book = SlotBook(5)
        book.adopt(book.assign(child_context.config, child_context.board.is_unused))
        yield SupervisorState(child_context, process_table, book, lambda generation: None)


def configured(before: Config, *names: str, shift: int = 0) -> Config:
    backends = tuple(BackendConfig(name, Address("127.0.0.1", 9000 + shift + int(name[1:]))) for name in names)
    return replace(before, pools=(replace(before.pools[0], backends=backends),))


def settled(supervisor_state: SupervisorState, *names: str, shift: int = 0) -> None:
    before = supervisor_state.context.generation
    config = configured(before.config, *names, shift=shift)
    assignment = supervisor_state.book.assign(config, supervisor_state.context.board.is_unused)
    after = replace(before, number=before.number + 1, config=config, slots=assignment.slots)
    supervisor_state.apply_generation(after, assignment, ListenSockets((), (), ()))


def test_the_next_child_gets_the_new_configuration_and_its_slots(supervisor_state: SupervisorState) -> None:
    before = supervisor_state.context
    settled(supervisor_state, "b2", "b3")
    assert supervisor_state.context.generation.number == supervisor_state.context.board.generation == 2
    assert supervisor_state.context.slots == {("web", "b2"): 2, ("", "main"): 3, ("web", "b3"): 4}
    assert supervisor_state.context.board.slots == 5
    assert [generation.number for generation in supervisor_state.context.history] == [1, 2]
    assert before.generation.number == 1  # whoever was given that seat still has it


def test_only_so_many_configurations_are_remembered(supervisor_state: SupervisorState) -> None:
    for number in range(MAX_GENERATIONS + 5):
        settled(supervisor_state, *(("b1",) if number % 2 else ("b1", "b2", "b3")))
        settled(supervisor_state, *(("b1",) if number % 2 else ("b1", "b2", "b3")))  # changes nothing, and pushes nothing out
    assert [generation.number for generation in supervisor_state.context.history] == list(
        range(13, 13 + 2 * MAX_GENERATIONS, 2)
    )


@pytest.mark.parametrize(("state", "after"), [(State.DRAINING, (State.DRAINING, 7.0)), (State.UNHEALTHY, (State.UNKNOWN, 0.0))])
def test_an_operator_s_state_survives_a_new_address(
    supervisor_state: SupervisorState, state: State, after: tuple[State, float]
) -> None:
    board = supervisor_state.context.board
    board.set_state(1, state, 7.0, "so it is")
    settled(supervisor_state, "b1", shift=100)
    worker_number = supervisor_state.context.slots["web", "b1"]
    assert worker_number != 1
    assert board.state(worker_number) == after
    assert board.reason(worker_number) == ("so it is" if state is State.DRAINING else "")


def test_a_backend_that_was_taken_out_comes_back_as_one_that_nothing_is_known_of(supervisor_state: SupervisorState) -> None:
    board = supervisor_state.context.board
    board.set_state(1, State.MAINTENANCE, 7.0, "an order")
    settled(supervisor_state, "b2")
    settled(supervisor_state, "b1", "b2")
    assert supervisor_state.context.slots["web", "b1"] == 1
    assert (board.state(1), board.reason(1)) == ((State.UNKNOWN, 0.0), "")


def test_a_slot_that_another_backend_gets_is_cleared_and_those_that_stay_are_not(supervisor_state: SupervisorState) -> None:
    board = supervisor_state.context.board
    settled(supervisor_state, "b2", "b3")
    for worker_number in (1, 2):
        board.set_state(worker_number, State.UNHEALTHY, 1.0, "so it was")
        board.rows[0][counters.block(worker_number) + counters.LEASES] = 5
    settled(supervisor_state, "b2", "b3", "b4")
    assert supervisor_state.context.slots["web", "b4"] == 1
    assert [board.state(worker_number)[0] for worker_number in (1, 2)] == [State.UNKNOWN, State.UNHEALTHY]
    assert [board.rows[0][counters.block(worker_number) + counters.LEASES] for worker_number in (1, 2)] == [0, 5]


def test_what_the_kernel_chose_for_port_0_is_told_in_plain_words(supervisor_state: SupervisorState) -> None:
    local = Address("127.0.0.1", 0)
    config = Config(
        (
            ListenerConfig("main", (local,), Mode.HTTP, "web"),
            ListenerConfig("fixed", (Address("127.0.0.1", 1),), Mode.HTTP, "web"),
        ),
        (PoolConfig("web", ()),),
        admin=AdminConfig(address=local),
        metrics=MetricsConfig(address=None),
    )
    listen_sockets = open_all(replace(config, listeners=config.listeners[:1]))
    supervisor_state.context = replace(
        supervisor_state.context,
        history=(replace(supervisor_state.context.generation, config=config),),
        listen_sockets=listen_sockets,
    )
    main, admin = listen_sockets.listeners[0], listen_sockets.admin[0]
    assert supervisor_state.ephemeral_ports() == {
        ("main", "127.0.0.1:0"): f"127.0.0.1:{main.address.port}",
        ("admin", "127.0.0.1:0"): f"127.0.0.1:{admin.address.port}",
    }
    listen_sockets.close()
    os.close(supervisor_state.context.board.fd)


def test_every_process_reopens_its_logs_draining_ones_included(supervisor_state: SupervisorState) -> None:
    spoken: list[Generation] = []
    supervisor_state.configure_logs = spoken.append
    process_table = supervisor_state.process_table
    children = [Child("worker 0", 0, 0), Child("worker 0", 0, 1), Child("control"), Child("loader")]
    theirs = []
    for child in children:
        child.state = ChildState.READY
        child.pipe_end, end = pipe_pair()
        theirs.append(end)
    process_table.workers[0].child, leaving, process_table.control.child, loader = children
    process_table.unassigned += [leaving, loader]
    supervisor_state.reopen_logs()
    assert [[message.kind for message in end.receive()[0]] for end in theirs] == [
        [REOPEN_LOGS],
        [REOPEN_LOGS],
        [REOPEN_LOGS],
        [],
    ]
    assert spoken == [supervisor_state.context.generation]
    for child, end in zip(children, theirs, strict=True):
        child.close_pipe()
        end.close()
