"""How an instance begins: what its processes share, and what a child has right after the fork."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from fake_supervisor import configured
from handover_states import descriptor_count, handover_state_from
from instance_process import Instance, Origin, until

from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.config.source import Kind, Source
from balance.process.children.child import Child, SupervisorPipe
from balance.process.children.supervisor_state import SupervisorState
from balance.process.operations.upgrade_protocol import HandoverState
from balance.process.sockets.listen_sockets import inode, open_all
from balance.process.supervisor.bootstrap import Bootstrap
from balance.process.supervisor.shared_state import create_shared_state

CONFIG = configured("b1", "b2")
SOURCE = Source(Kind.FILE, "f.yaml")
REMOVAL = BackendChange(Verb.REMOVE, "web", "b2")

Found = Callable[..., SupervisorState]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[Found]:
    """Found instances in which nobody is born, and whose sockets are gone after the test."""
    monkeypatch.setattr("balance.process.supervisor.bootstrap.logs.configure_child", lambda config, name: None)
    with contextlib.ExitStack() as stack:

        def founded(
            after_fork_in_child: Sequence[Callable[[], object]] = (), handover_state: HandoverState | None = None, **more: Any
        ) -> SupervisorState:
            listen_sockets = open_all(CONFIG)
            stack.callback(listen_sockets.close)
            selector = stack.enter_context(selectors.DefaultSelector())
            return Bootstrap(
                CONFIG, SOURCE, listen_sockets, selector, after_fork_in_child, handover_state, **more
            ).supervisor_state

        yield founded


def test_an_instance_starts_with_its_first_generation_and_all_slots(found: Found) -> None:
    supervisor_state = found(watch_config=True)
    context = supervisor_state.context
    (generation,) = context.history
    assert (generation.number, generation.origin, generation.changes) == (1, "start", ())
    assert (generation.config, generation.source) == (CONFIG, SOURCE)
    assert context.slots == {("web", "b1"): 1, ("web", "b2"): 2, ("", "main"): 3}
    assert (context.board.generation, context.supervisor_pid, context.watch_config) == (1, os.getpid(), True)
    assert len(context.wakeups) == context.board.max_rows
    assert [child_slot.name for child_slot in supervisor_state.process_table.child_slots] == ["worker 0", "worker 1", "control"]
    assert supervisor_state.process_table.live_children == []


def test_one_that_takes_over_counts_on_from_the_instance_before(found: Found) -> None:
    generation = found(
        handover_state=handover_state_from(create_shared_state(CONFIG, None), changes=[REMOVAL])
    ).context.generation
    assert (generation.number, generation.origin, generation.changes) == (8, "upgrade", (REMOVAL,))


def test_a_child_has_nothing_that_is_the_supervisor_s_alone(found: Found) -> None:
    theirs = os.open("/dev/null", os.O_RDONLY)
    handover_state = handover_state_from(create_shared_state(CONFIG, None))
    supervisor_state = found([lambda: os.close(theirs)], handover_state)
    liveness_pipe = supervisor_state.context.liveness_pipe
    assert descriptor_count(liveness_pipe) == 2  # both ends

    def body(supervisor_pipe: SupervisorPipe) -> int:
        with contextlib.suppress(OSError):
            os.fstat(theirs)
            return 1
        if descriptor_count(liveness_pipe) != 1:
            return 2
        return 0 if handover_state.predecessor_pipes[0].fileno() < 0 else 3

    child = Child("loader")
    supervisor_state.process_table.fork_child(child, body)
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 0
    child.close_pipe()
    os.fstat(theirs)
    os.close(theirs)
    handover_state.close_pipe()


def test_each_child_inherits_its_own_sockets(found: Found) -> None:
    supervisor_state = found()
    born: dict[str, Child] = {}

    def fork_child(child: Child, body: Callable[[SupervisorPipe], int]) -> None:
        born[child.name] = child

    supervisor_state.process_table.fork_child = fork_child  # type: ignore[method-assign]
    for child_slot in supervisor_state.process_table.child_slots:
        supervisor_state.process_table.fork_for_slot(child_slot)
    listen_sockets = supervisor_state.context.listen_sockets
    for name, slot in (("worker 0", 0), ("worker 1", 1), ("control", None)):
        assert born[name].inodes == {inode(sock) for _, sock in listen_sockets.for_child(slot)}
    assert len(frozenset().union(*(child.inodes for child in born.values()))) == len(listen_sockets.sockets)


@pytest.mark.drill
@pytest.mark.timeout(120)
def test_no_child_outlives_a_killed_supervisor(run: Callable[..., Instance], origins: Callable[..., Origin]) -> None:
    instance = run(backends=[{"address": origins().address}], mode="http", workers=2).ready()
    port = instance.port
    instance.process.kill()
    instance.process.wait()
    until(instance.group_is_empty, "the end of all children")
    socket.create_server(("127.0.0.1", port)).close()
