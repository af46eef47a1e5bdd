"""What an instance gives to its successor arrives whole, and a successor that is given nothing says so in one line."""

from __future__ import annotations

import fcntl
import io
import os
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from fake_supervisor import FakeSupervisor, configured

from balance.config.fault_ends import with_fault_ends
from balance.config.model import Config, HttpConfig, ListenerConfig
from balance.config.overrides.route_switch import RouteSwitch
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.config.route_model import Fault, RouteConfig, TrafficPolicy
from balance.discovery.discovered_pool import DiscoveredPool
from balance.discovery.endpoint import Endpoint
from balance.errors import StartError
from balance.model import Mode
from balance.process.ipc.messages import FAILED, HANDOVER_ENV, READY
from balance.process.ipc.pipe import MAX_FDS, Message, PipeEnd, pipe_pair
from balance.process.operations import upgrade_protocol
from balance.process.operations.upgrade_protocol import (
    HANDOVER_MESSAGE,
    STOP,
    HandoverState,
    exec_same_command,
    hand_over,
    report_failure,
    take_over,
)

CHANGES = (
    BackendChange(Verb.SET, "web", "b1", '{"weight": 3}', '{"name": "b1"}'),
    BackendChange(Verb.REMOVE, "web", "b2", basis=""),
    RouteSwitch("web", "shop", "green", '{"blue":"v1","green":"v2"}'),
)

FAULT = TrafficPolicy(fault=Fault(abort_percent=5, until_s=600, is_until_relative=True))
ROUTES = HttpConfig(routes=(RouteConfig("tried", policy=FAULT),))
FAULTY = Config((ListenerConfig("web", (), Mode.HTTP, "web", http=ROUTES),), ())


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSupervisor]:
    supervisor = FakeSupervisor(configured("b1", "b2"), monkeypatch)
    yield supervisor
    supervisor.close()


def environment(end: PipeEnd) -> dict[str, str]:
    """Of a process that was started with that end, and owns it from now on."""
    return {HANDOVER_ENV: str(os.dup(end.fileno())), "HOME": "/"}


def closed(handover_state: HandoverState) -> None:
    handover_state.close_pipe()
    os.close(handover_state.board_fd)
    os.close(handover_state.locks_fd)
    for sock in handover_state.sockets:
        sock.close()


def test_all_that_is_given_is_found(supervisor: FakeSupervisor) -> None:
    context = supervisor.supervisor_state.context
    config = with_fault_ends(FAULTY, (), 1000.0)
    generation = replace(context.generation, number=7, changes=CHANGES, config=config)
    supervisor.supervisor_state.context = replace(context, history=(generation,))
    mine, theirs = pipe_pair()
    assert hand_over(mine, supervisor.supervisor_state, supervisor.supervisor_state.ephemeral_ports())
    environ = environment(theirs)
    handover_state = take_over(environ)
    assert handover_state is not None
    assert environ == {"HOME": "/"}  # the children of the new instance inherit nothing
    assert not os.get_inheritable(handover_state.predecessor_pipes[0].fileno())
    assert os.path.samestat(os.fstat(handover_state.board_fd), os.fstat(context.board.fd))
    assert os.path.samestat(os.fstat(handover_state.locks_fd), os.fstat(context.locks.fileno()))
    assert [sock.getsockname() for sock in handover_state.sockets] == [
        sock.getsockname() for sock in context.listen_sockets.sockets
    ]
    assert (handover_state.max_rows, handover_state.max_slots, handover_state.has_same_layout) == (
        context.board.max_rows,
        context.board.max_slots,
        True,
    )
    assert (handover_state.book, handover_state.generation, handover_state.changes) == (
        supervisor.supervisor_state.book.dump(),
        7,
        list(CHANGES),
    )
    assert handover_state.ephemeral_ports == supervisor.supervisor_state.ephemeral_ports()
    assert handover_state.owned_paths == []
    assert with_fault_ends(FAULTY, handover_state.fault_ends, 1500.0) == config
    handover_state.notify_ready()
    handover_state.stop(30.0)
    assert mine.receive()[0] == [Message(READY, os.getpid(), ()), Message(STOP, 30.0, ())]
    closed(handover_state)
    mine.close()
    theirs.close()


@pytest.mark.parametrize("fields", [8, 9, 20])
def test_what_was_discovered_is_handed_on_also_to_and_from_a_version_that_knows_another_form(
    supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch, fields: int
) -> None:
    ends = (Endpoint("10.0.0.1:80", "a", 3, metadata=(("x", "y"),)), Endpoint("[::1]:80"))
    found = DiscoveredPool("web", ends, ("gone",))
    context = supervisor.supervisor_state.context
    supervisor.supervisor_state.context = replace(context, history=(replace(context.generation, discovered=(found,)),))
    monkeypatch.setattr(
        "balance.process.operations.upgrade_protocol.astuple", lambda end: (*astuple(end), *["more"] * 20)[:fields]
    )
    mine, theirs = pipe_pair()
    assert hand_over(mine, supervisor.supervisor_state, {})
    handover_state = take_over(environment(theirs))
    assert handover_state is not None
    assert handover_state.discovered == [found]
    closed(handover_state)
    mine.close()
    theirs.close()


def test_the_lines_to_those_who_still_finish_something_are_handed_on(supervisor: FakeSupervisor) -> None:
    mine, theirs = pipe_pair()
    draining_predecessors = [pipe_pair() for _ in range(2)]
    assert hand_over(mine, supervisor.supervisor_state, {}, [near for near, _ in draining_predecessors])
    handover_state = take_over(environment(theirs))
    assert handover_state is not None
    assert len(handover_state.predecessor_pipes) == 3
    assert len(handover_state.sockets) == len(supervisor.supervisor_state.context.listen_sockets.sockets)
    for near, _ in draining_predecessors:
        near.close()
    handover_state.stop(30.0)
    handover_state.notify_ready()
    assert [far.receive() for _, far in draining_predecessors] == [
        ([Message(STOP, 30.0, ())], True)
    ] * 2  # who replaced them is no matter
    assert [message.kind for message in mine.receive()[0]] == [STOP, READY]
    draining_predecessors[0][1].close()
    assert len(handover_state.live_predecessors()) == 2
    closed(handover_state)
    for end in (mine, theirs, draining_predecessors[1][1]):
        end.close()


def test_what_is_said_is_plain_data_for_another_version_to_read(supervisor: FakeSupervisor) -> None:
    mine, theirs = pipe_pair()
    hand_over(mine, supervisor.supervisor_state, {})
    ((message,), _) = theirs.receive()

    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            raise AssertionError(f"{module}.{name} may mean something else there")

    Plain(io.BytesIO(pickle.dumps(message.data))).load()
    for fd in message.fds:
        os.close(fd)
    mine.close()
    theirs.close()


def test_more_sockets_than_one_packet_holds_are_waited_for_on_any_descriptor(tmp_path: Path) -> None:
    mine, theirs = pipe_pair()
    high = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 1500)  # as in an instance with many sockets
    made = [socket.socket() for _ in range(MAX_FDS + 50)]
    said = {
        "layout": -1,
        "max_rows": 1,
        "max_slots": 1,
        "book": [],
        "owned_paths": [],
        "any_port": [],
        "generation": 1,
        "elders": 0,
    }
    found: list[HandoverState | None] = []
    successor = threading.Thread(target=lambda: found.append(take_over({HANDOVER_ENV: str(high)})))
    successor.start()
    with open(os.devnull) as file:
        sockets = [sock.fileno() for sock in made]
        mine._send(pickle.dumps(("", None)), [file.fileno(), file.fileno(), *sockets[: MAX_FDS - 2]])
        successor.join(0.05)  # it has taken the first packet, or not
        mine._send(pickle.dumps((HANDOVER_MESSAGE, said | {"changes": []})), sockets[MAX_FDS - 2 :])
    successor.join(10)
    (handover_state,) = found
    assert handover_state is not None
    assert len(handover_state.sockets) == len(made)
    assert not handover_state.has_same_layout
    assert handover_state.fault_ends == []  # as older versions say nothing of them
    closed(handover_state)
    for sock in made:
        sock.close()
    mine.close()
    theirs.close()


def test_a_process_that_was_started_by_itself_inherits_nothing() -> None:
    assert take_over({}) is None
    assert take_over({HANDOVER_ENV: ""}) is None


@pytest.mark.parametrize("number", ["x", "-1", "987654", "file"])
def test_a_descriptor_that_is_no_pipe_is_refused_in_one_line(number: str, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        number = str(file.fileno()) if number == "file" else number
        with pytest.raises(StartError, match=rf"^{HANDOVER_ENV}={number} names no line to an instance that could be replaced$"):
            take_over({HANDOVER_ENV: number})


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_a_handover_that_does_not_come_is_refused_in_one_line(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade_protocol, "HANDOVER_TIMEOUT_S", 0.02)
    mine, theirs = pipe_pair()
    environ = environment(theirs)
    if how == "gone":
        mine.close()
    with pytest.raises(StartError, match=r"^the instance that was to be replaced has said nothing$"):
        take_over(environ)
    mine.close()
    theirs.close()


def test_a_successor_that_is_gone_takes_nothing(supervisor: FakeSupervisor) -> None:
    mine, theirs = pipe_pair()
    theirs.close()
    assert not hand_over(mine, supervisor.supervisor_state, {})
    mine.close()


def test_the_same_command_is_executed_with_its_pipe_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr("balance.process.operations.upgrade_protocol.os.execve", lambda *called: executed.append(called))
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "balance", "serve", "--config", "f.yaml"])
    monkeypatch.setenv("OWN", "1")
    mine, theirs = pipe_pair()
    exec_same_command(theirs, {"NOTIFY_SOCKET": "/run/x"})
    ((program, argv, environ),) = executed
    assert (program, argv) == (sys.executable, [sys.executable, "-m", "balance", "serve", "--config", "f.yaml"])
    assert (environ["OWN"], environ["NOTIFY_SOCKET"], environ[HANDOVER_ENV]) == ("1", "/run/x", str(theirs.fileno()))
    assert os.get_inheritable(theirs.fileno())
    mine.close()
    theirs.close()


def test_one_that_cannot_take_over_says_why(supervisor: FakeSupervisor) -> None:
    mine, theirs = pipe_pair()
    report_failure(environment(theirs), "a.yaml:1:2: no;\nb")
    assert mine.receive()[0] == [Message(FAILED, "a.yaml:1:2: no; b", ())]
    assert hand_over(mine, supervisor.supervisor_state, {})
    handover_state = take_over(environment(theirs))
    assert handover_state is not None
    handover_state.notify_failed("port 80 is taken")
    assert mine.receive()[0] == [Message(FAILED, "port 80 is taken", ())]
    closed(handover_state)


@pytest.mark.parametrize("environ", [{}, {HANDOVER_ENV: "x"}, {HANDOVER_ENV: "1000000"}])
def test_one_that_replaces_nobody_tells_nobody(environ: dict[str, str]) -> None:
    report_failure(environ, "why")


def test_a_handover_without_its_descriptors_is_refused_in_one_line(supervisor: FakeSupervisor) -> None:
    mine, theirs = pipe_pair()
    assert hand_over(mine, supervisor.supervisor_state, {})
    message = theirs.receive()[0][0]
    for fd in message.fds:
        os.close(fd)
    mine.send(HANDOVER_MESSAGE, message.data)  # what is left where a process has no room for descriptors
    with pytest.raises(StartError, match="no room for the descriptors"):
        take_over(environment(theirs))
