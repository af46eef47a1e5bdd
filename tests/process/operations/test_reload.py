"""A reload, step by step: everybody prepares, then everybody changes over, or nothing has changed."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from descriptors import open_descriptors
from fake_supervisor import LOCAL, FakeSupervisor, configured

from balance.admin.supervisor_orders import ChangeBackends, Reload, ReloadResult
from balance.config.model import Config, ListenerConfig
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.model import Address, Mode
from balance.process.children.child import Child
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
from balance.process.ipc.pipe import Message, from_memfd
from balance.process.operations.load_config import Loaded, LoadRequest
from balance.process.operations.reload import COMMIT_TIMEOUT_S, LOAD_TIMEOUT_S, PREPARE_TIMEOUT_S, ReloadOperation
from balance.process.sockets.listen_sockets import ListenSockets, inode, resolve_hosts
from balance.runtime import counters

BEFORE = configured("b1", restart_drain_s=900.0)
AFTER = configured("b1", "b2", restart_drain_s=700.0)
REMOVAL = BackendChange(Verb.REMOVE, "web", "b2")


class Case(FakeSupervisor):
    """A scene with a reload in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, config: Config = BEFORE, **room: int) -> None:
        super().__init__(config, monkeypatch, **room)
        self.wishes: list[LoadRequest] = []

        def load(request: LoadRequest, listen_sockets: ListenSockets, supervisor_pipe: Any, supervisor_pid: int) -> int:
            self.wishes.append(request)
            return 0

        monkeypatch.setattr("balance.process.operations.reload.load", load)
        self.reloading: ReloadOperation
        self.preparations: dict[Child, Message] = {}
        self.told: list[Message] = []

    def start(self, order: Reload | ChangeBackends | None = None) -> Child | None:
        """The loader, if there is one."""
        self.reloading = ReloadOperation(self.supervisor_state, order or Reload(), "a test", self.order_results.append)
        self.reloading.start(100.0)
        (loader,) = self.process_table.unassigned[-1:] or (None,)
        if loader is not None:
            self.process_table.bodies[loader](None)  # type: ignore[arg-type]
        return loader

    def load(self, config: Config = AFTER, order: Reload | ChangeBackends | None = None, **more: Any) -> None:
        """Until everybody was asked to prepare."""
        loader = self.start(order)
        assert loader is not None
        (request,) = self.wishes[-1:]
        loaded = Loaded(
            config,
            request.source,
            request.changes,
            **{"dropped": (), "warnings": (), "hosts": more.get("hosts") or resolve_hosts(config)} | more,
        )
        self.reloading.on_message(loader, Message(LOADED, loaded, ()), 110.0)
        self.exit_child(loader, self.reloading)

    def sent_to(self, child: Child) -> list[Message]:
        """Without what control is told of a reload that failed: `told`."""
        messages = super().sent_to(child)
        self.told += [message for message in messages if message.kind == RELOAD_FAILED]
        return [message for message in messages if message.kind != RELOAD_FAILED]

    def asked(self, child: Child) -> Message:
        """What the child was asked to prepare; its descriptors are closed at the end."""
        (message,) = self.sent_to(child)
        assert message.kind == PREPARE
        self.preparations[child] = message
        return message

    def on_result(self, child: Child, kind: str, data: object = 2, now: float = 120.0) -> None:
        self.reloading.on_message(child, Message(kind, data, ()), now)

    def prepare(self) -> None:
        """Everybody does what it was asked to."""
        for child in self.assigned_children:
            if (
                child.worker_number is None
                or child.worker_number < self.supervisor_state.process_table.workers[-1].worker_number + 1
            ):  # type: ignore[operator]
                self.asked(child)
                self.on_result(child, PREPARED)

    def close(self) -> None:
        for message in self.preparations.values():
            for fd in message.fds:
                os.close(fd)
        super().close()

    @property
    def reloads(self) -> tuple[int, ...]:
        """(that succeeded, that failed)"""
        board = self.supervisor_state.context.board
        return board.reloads(ReloadResult.SUCCESS), board.reloads(ReloadResult.FAILURE)

    def unchanged(self) -> bool:
        return (
            self.number == self.supervisor_state.context.board.generation == 1
            and self.supervisor_state.context.config is BEFORE
        )


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    case = Case(monkeypatch)
    yield case
    case.close()


# --- all goes well --------------------------------------------------------------------------------------------


def test_nothing_changes_before_everybody_has_prepared_and_then_all_are_told_at_once(case: Case) -> None:
    children = case.assigned_children
    case.load()
    assert case.reloading.deadline == 110.0 + PREPARE_TIMEOUT_S
    for child in children:
        assert case.unchanged()
        assert [case.kinds(each) for each in children if each in case.preparations] == [[]] * len(case.preparations)
        case.asked(child)
        case.on_result(child, PREPARED, now=125.0)
    assert (case.number, case.supervisor_state.context.config) == (2, AFTER)
    assert case.supervisor_state.context.slots == {("web", "b1"): 1, ("", "main"): 2, ("web", "b2"): 3}
    assert case.reloading.deadline == 125.0 + COMMIT_TIMEOUT_S  # the time for this step, not what is left of the one before
    for child in children:
        (message,) = case.sent_to(child)
        assert (message.kind, message.data) == (COMMIT, 2)
        assert case.order_results == []
        case.on_result(child, COMMITTED)
    order_result = case.order_result
    assert (order_result.is_done, order_result.generation, order_result.problems) == (True, 2, ())
    assert any("b2" in line for line in order_result.lines)
    assert (case.reloads, case.killed) == ((1, 0), [])
    assert [generation.number for generation in case.logged_generations] == [2]


def test_each_is_given_the_configuration_and_those_of_its_sockets_that_are_new(case: Case) -> None:
    more = replace(AFTER, listeners=(*AFTER.listeners, ListenerConfig("more", (LOCAL,), Mode.TCP, "web")))
    old = case.supervisor_state.context.listen_sockets
    case.load(more)
    for slot, child in ((0, case.worker(0)), (1, case.worker(1)), (None, case.control)):
        message = case.asked(child)
        config_update, *fds = message.fds
        assert from_memfd(config_update)[1].config == more
        prepare_request = message.data
        kept = [(name, inode(sock)) for name, sock in old.for_child(slot)]
        assert list(prepare_request.sockets[: len(kept)]) == kept
        assert [os.fstat(fd).st_ino for fd in fds] == list(prepare_request.new)
        assert [number for _, number in prepare_request.sockets] == [number for _, number in kept] + list(prepare_request.new)
        assert [name for name, _ in prepare_request.listening] == ([] if slot is not None else ["main", "more"])
    assert len(case.preparations[case.worker(0)].fds) == 2
    assert len(case.preparations[case.control].fds) == 1


def test_what_nobody_listens_on_any_more_is_closed_when_all_have_changed_over(case: Case) -> None:
    (old,) = {listen_address.address.port for listen_address in case.supervisor_state.context.listen_sockets.listeners}
    case.load(replace(AFTER, listeners=(ListenerConfig("other", (LOCAL,), Mode.HTTP, "web"),)))
    case.prepare()
    socket.create_connection(("127.0.0.1", old)).close()
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))
    for child in case.assigned_children:  # the next reload gives each what it has not got
        assert child.inodes == {
            inode(sock) for _, sock in case.supervisor_state.context.listen_sockets.for_child(child.worker_number)
        }


@pytest.mark.parametrize(
    ("order", "times"),
    [(Reload(), 1), (Reload(dry_run=True), 0), (ChangeBackends((REMOVAL,)), 0)],
    ids=["reload", "dry", "change"],
)
def test_what_is_strange_in_a_configuration_is_logged_by_the_reload_that_reads_it(
    case: Case, caplog: pytest.LogCaptureFixture, order: Reload | ChangeBackends, times: int
) -> None:
    case.load(AFTER, order, warnings=("that is strange",))
    assert caplog.messages.count("that is strange") == times


def test_surplus_workers_drain_and_new_slots_are_filled(case: Case) -> None:
    first, second = case.worker(0), case.worker(1)
    case.load(replace(AFTER, workers=1))
    assert case.sent_to(second) == []  # what it would prepare it would never serve
    for child in (first, case.control):
        case.asked(child)
        case.on_result(child, PREPARED)
    assert case.drain_limit(second) == 900.0  # as the configuration says that it served
    assert case.process_table.unassigned == [second]
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
    assert case.order_result.is_done
    case.order_results.clear()
    case.load(replace(AFTER, workers=3))
    for child in case.assigned_children:
        case.sent_to(child)
        case.on_result(child, PREPARED, 3)
    assert [child_slot.restart_at for child_slot in case.process_table.workers] == [None, 120.0, 120.0]


# --- there is nothing to do -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "counted"),
    [(Reload(), 1), (Reload(rollback=True, to=1), 1), (ChangeBackends((REMOVAL,)), 0)],
    ids=["file", "rollback", "change"],
)
def test_what_is_served_already_is_no_new_generation_and_nobody_is_asked(
    case: Case, order: Reload | ChangeBackends, counted: int, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(order, Reload) and order.rollback:
        history = case.supervisor_state.context.history
        case.supervisor_state.context = replace(
            case.supervisor_state.context, history=(replace(history[0]), replace(history[0], number=2))
        )
    number, listen_sockets, fds = case.number, case.supervisor_state.context.listen_sockets, open_descriptors()
    with caplog.at_level("INFO"):
        case.load(replace(BEFORE, source="f.yaml, read again"), order, dropped=("the change of b1 is dropped",))
    order_result = case.order_result
    assert (order_result.is_done, order_result.generation, order_result.lines, order_result.summary) == (
        True,
        number,
        (),
        "nothing changed",
    )
    assert order_result.dropped == ("the change of b1 is dropped",)
    assert [case.sent_to(child) for child in case.assigned_children] == [[]] * 3
    assert (case.number, case.supervisor_state.context.config, case.supervisor_state.context.listen_sockets) == (
        number,
        BEFORE,
        listen_sockets,
    )
    board = case.supervisor_state.context.board
    assert (case.reloads, board.reloads(ReloadResult.UNCHANGED)) == ((0, 0), counted)
    assert f"nothing changed, configuration {number} goes on" in caplog.text
    assert open_descriptors() == fds + 1  # the loader's end of its line


def test_what_is_read_without_a_change_is_what_later_changes_are_laid_over(case: Case) -> None:
    loader = case.start()
    assert loader is not None
    source = case.wishes[0].source.with_text("# the same, with a comment")
    kept = (BackendChange(Verb.SET, "web", "b1", basis="x"),)
    case.reloading.on_message(loader, Message(LOADED, Loaded(BEFORE, source, kept, (), (), resolve_hosts(BEFORE)), ()), 110.0)
    case.exit_child(loader, case.reloading)
    generation = case.supervisor_state.context.generation
    assert (generation.number, generation.source, generation.changes) == (1, source, kept)
    assert generation.origin == "start"
    case.start(ChangeBackends((REMOVAL,)))
    assert (case.wishes[-1].source, case.wishes[-1].changes) == (source, (*kept, REMOVAL))


def test_a_good_file_ends_the_time_of_a_bad_one(case: Case) -> None:
    board = case.supervisor_state.context.board
    assert board.last_reload is None
    loader = case.start()
    assert loader is not None
    case.reloading.on_message(loader, Message(LOAD_FAILED, ("no",), ()), 110.0)
    assert board.last_reload is ReloadResult.FAILURE
    case.load(BEFORE)
    assert board.last_reload is ReloadResult.UNCHANGED


def test_a_name_that_stands_for_another_address_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    named = Address("balance.test", 0)
    before = replace(BEFORE, listeners=(ListenerConfig("main", (named,), Mode.HTTP, "web"),))
    places = {"127.0.0.1": ((socket.AF_INET, "127.0.0.1"),), "127.0.0.2": ((socket.AF_INET, "127.0.0.2"),)}
    with monkeypatch.context() as resolver:
        resolver.setattr(socket, "getaddrinfo", lambda *about, **more: [(socket.AF_INET, 0, 0, "", ("127.0.0.1", 0))])
        case = Case(monkeypatch, before)
    (old,) = case.supervisor_state.context.listen_sockets.addresses("main")
    case.load(before, hosts={"balance.test": places["127.0.0.1"], "127.0.0.1": places["127.0.0.1"]})
    assert case.order_results.pop().summary == "nothing changed"
    case.load(before, hosts={"balance.test": places["127.0.0.2"], "127.0.0.1": places["127.0.0.1"]})
    case.prepare()
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
    (new,) = case.supervisor_state.context.listen_sockets.addresses("main")
    assert case.order_result.lines == (f"~ listener main: bound to {old} -> {new}",)
    assert (case.number, case.supervisor_state.context.generation.summary) == (2, "listener main changed")
    assert new.startswith("127.0.0.2:")
    case.close()


# --- it does not ----------------------------------------------------------------------------------------------


def test_a_configuration_that_is_no_good_is_answered_with_every_problem_and_nobody_is_asked(case: Case) -> None:
    loader = case.start()
    assert loader is not None
    assert case.reloading.deadline == 100.0 + LOAD_TIMEOUT_S
    case.reloading.on_message(loader, Message(LOAD_FAILED, ("f.yaml:1:2: no", "f.yaml:3:4: no"), ()), 110.0)
    assert case.order_result.problems == ("f.yaml:1:2: no", "f.yaml:3:4: no")
    assert case.unchanged()
    assert case.reloads == (0, 1)
    assert [case.sent_to(child) for child in case.assigned_children] == [[]] * 3
    assert [message.data.problems for message in case.told] == [case.order_result.problems]  # control, for the dashboard
    case.exit_child(loader, case.reloading)
    assert len(case.order_results) == 1


@pytest.mark.parametrize("how", ["dies", "silent", "end of the instance"])
def test_a_loader_that_says_nothing_changes_nothing(case: Case, how: str) -> None:
    loader = case.start()
    assert loader is not None
    match how:
        case "dies":
            case.exit_child(loader, case.reloading, "the loader was killed by SIGKILL")
        case "silent":
            case.reloading.on_deadline(200.0)
        case "end of the instance":
            case.reloading.abort("the instance is about to end")
    expected = {
        "dies": "the loader was killed by SIGKILL",
        "silent": "the configuration was not read, and the names that it listens on not resolved, within 60s",
        "end of the instance": "the instance is about to end",
    }
    assert case.order_result.problems == (expected[how],)
    assert case.killed == ([] if how == "dies" else [loader])
    if how != "dies":
        late = Loaded(AFTER, case.wishes[0].source, (), (), (), {})
        case.reloading.on_message(loader, Message(LOADED, late, ()), 201.0)
        case.exit_child(loader, case.reloading)
    assert len(case.order_results) == 1
    assert case.unchanged()


@pytest.mark.parametrize("how", ["refused", "silent", "end of the instance"])
def test_when_one_cannot_prepare_all_forget_it_and_go_on_as_they_were(case: Case, how: str) -> None:
    before = case.supervisor_state.context
    inodes = [child.inodes for child in case.assigned_children]
    case.load(replace(AFTER, listeners=(*AFTER.listeners, ListenerConfig("more", (LOCAL,), Mode.TCP, "web"))))
    first, second, control = case.assigned_children
    port = _port_of(case.asked(first))
    for child in (second, control):
        case.asked(child)
    case.on_result(control, PREPARED)
    case.on_result(first, PREPARED)
    match how:
        case "refused":
            case.on_result(second, REFUSED, (2, "the access log can't be opened"))
            problem = "worker 1: the access log can't be opened"
        case "silent":
            case.reloading.on_deadline(130.0)
            problem = "worker 1 did not answer within 20s"
        case "end of the instance":
            case.reloading.abort("the instance is about to end")
            problem = "the instance is about to end"
    assert case.order_result.problems == (problem,)
    assert [case.kinds(child) for child in case.assigned_children] == [[ABORT]] * 3
    assert case.supervisor_state.context is before
    assert [child.inodes for child in case.assigned_children] == inodes
    assert (case.reloads, case.killed, case.logged_generations) == ((0, 1), [], [])
    case.on_result(second, PREPARED)  # too late
    assert [case.kinds(child) for child in case.assigned_children] == [[]] * 3
    for message in case.preparations.values():
        for fd in message.fds:
            os.close(fd)
    case.preparations.clear()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def _port_of(message: Message) -> int:
    """Of the socket that came with it."""
    with socket.socket(fileno=os.dup(message.fds[1])) as sock:
        return int(sock.getsockname()[1])


def test_an_answer_to_another_reload_is_none_to_this(case: Case) -> None:
    case.load()
    for child in case.assigned_children:
        case.asked(child)
        case.on_result(child, PREPARED, 1)
        case.on_result(child, REFUSED, (3, "no"))
        case.on_result(child, COMMITTED, 2)
    assert case.unchanged()
    assert case.order_results == []


def test_while_all_change_over_nothing_but_their_word_that_they_have_counts(case: Case) -> None:
    case.load()
    case.prepare()
    for child in case.assigned_children:
        for kind, data in ((PREPARED, 2), (REFUSED, (2, "no")), (COMMITTED, 1), ("something else", 2)):
            case.on_result(child, kind, data)
    assert (case.order_results, case.reloading.is_over) == ([], False)
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
    assert case.order_result.is_done


def test_an_address_that_cannot_be_had_is_said_before_anybody_is_asked(case: Case) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        case.load(replace(AFTER, listeners=(ListenerConfig("main", (address,), Mode.HTTP, "web"),)))
    (problem,) = case.order_result.problems
    assert problem.startswith(f"listener main: cannot listen on {address}: it is in use")
    assert [case.sent_to(child) for child in case.assigned_children] == [[]] * 3
    assert case.unchanged()


def test_without_memory_for_the_message_nothing_changes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(packet: bytes) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("balance.process.operations.reload.to_memfd", none_left)
    case.load()
    assert case.order_result.problems == ("no file of memory for it: Too many open files",)
    assert case.reloading.is_over
    assert {message.kind for child in case.assigned_children for message in case.sent_to(child)} <= {ABORT}
    assert case.unchanged()


def test_without_room_for_a_process_nothing_is_read(case: Case) -> None:
    case.process_table.refusal = OSError(12, "Cannot allocate memory")
    case.start()
    assert case.order_result.problems == ("cannot start the loader: Cannot allocate memory",)


# --- somebody dies meanwhile ----------------------------------------------------------------------------------


def test_one_that_dies_while_it_prepares_is_waited_for_until_its_successor_has_prepared(case: Case) -> None:
    case.load()
    first, second, control = case.assigned_children
    for child in (second, control):
        case.asked(child)
        case.on_result(child, PREPARED)
    vacant = case.exit_child(first, case.reloading)
    assert vacant is not None
    assert case.unchanged()
    successor = case.process_table.fork_into_slot(vacant)
    case.ready(successor, case.reloading)
    assert case.unchanged()
    case.asked(successor)
    case.on_result(successor, PREPARED)
    assert case.number == 2
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
    assert case.order_result.is_done


def test_one_that_dies_after_it_has_prepared_is_waited_for_too(case: Case) -> None:
    case.load()
    first, second, control = case.assigned_children
    case.asked(first)
    case.on_result(first, PREPARED)
    vacant = case.exit_child(first, case.reloading)
    assert vacant is not None
    for child in (second, control):
        case.asked(child)
        case.on_result(child, PREPARED)
    assert case.unchanged()
    case.reloading.on_deadline(130.0)
    assert case.order_result.problems == ("worker 0 did not answer within 20s",)


def test_one_that_starts_while_all_others_prepare_is_asked_when_it_is_ready(case: Case) -> None:
    vacant = case.process_table.workers[0]
    first = case.worker(0)
    first.close_pipe()
    vacant.child = None
    successor = case.process_table.fork_into_slot(vacant)
    case.load()
    for child in (case.worker(1), case.control):
        case.asked(child)
        case.on_result(child, PREPARED)
    assert case.sent_to(successor) == []
    assert case.unchanged()
    case.ready(successor, case.reloading)
    case.asked(successor)
    case.on_result(successor, PREPARED)
    assert case.number == 2


def test_a_child_that_dies_during_the_commit_is_restarted_with_the_new_configuration(case: Case) -> None:
    case.load()
    case.prepare()
    first, *others = case.assigned_children
    for child in others:
        case.on_result(child, COMMITTED)
    assert case.order_results == []
    case.exit_child(first, case.reloading)
    assert case.order_result.is_done
    assert case.number == 2


def test_one_that_does_not_follow_is_killed_and_the_reload_holds(case: Case) -> None:
    case.load()
    case.prepare()
    first, *others = case.assigned_children
    for child in others:
        case.on_result(child, COMMITTED)
    case.reloading.on_deadline(140.0)
    assert case.killed == [first]
    assert case.order_results == []
    assert case.reloading.deadline == float("inf")
    case.exit_child(first, case.reloading)
    assert case.order_result.is_done


def test_an_end_of_the_instance_while_all_change_over_leaves_it_done(case: Case) -> None:
    case.load()
    case.prepare()
    case.reloading.abort("the instance is about to end")
    assert case.order_result.is_done
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
        assert case.kinds(child) == [COMMIT]
    assert len(case.order_results) == 1


def test_every_descriptor_is_given_back_however_it_ends(case: Case) -> None:
    gc.collect()  # what other tests have left
    before = open_descriptors()
    more = replace(AFTER, listeners=(*AFTER.listeners, ListenerConfig("more", (LOCAL,), Mode.TCP, "web")))
    for number, then in enumerate((REFUSED, PREPARED), start=1):
        case.load(more if then == REFUSED else AFTER)
        for child in case.assigned_children:
            for fd in case.asked(child).fds:
                os.close(fd)
        case.preparations.clear()
        if then == REFUSED:
            case.on_result(case.control, REFUSED, (2, "no"))
        else:
            for child in case.assigned_children:
                case.sent_to(child)
                case.on_result(child, PREPARED)
            for child in case.assigned_children:
                case.on_result(child, COMMITTED)
        assert len(case.order_results) == number
        for child in case.assigned_children:
            case.sent_to(child)
    loaders = [child for child in case.process_table.child_ends if child.name == "loader"]
    for loader in loaders:
        case.process_table.child_ends.pop(loader).close()
    assert open_descriptors() == before


# --- what is asked for ----------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_change_and_asks_nobody(case: Case) -> None:
    case.load(AFTER, Reload(dry_run=True), dropped=("the change of backend web/b1",))
    order_result = case.order_result
    assert (order_result.is_done, order_result.generation) == (True, 1)
    assert any("b2" in line for line in order_result.lines)
    assert order_result.dropped == ("the change of backend web/b1",)
    assert [case.sent_to(child) for child in case.assigned_children] == [[]] * 3
    assert case.unchanged()
    assert case.reloads == (0, 0)


def test_what_is_changed_at_run_time_is_no_reload(case: Case) -> None:
    case.load(AFTER, ChangeBackends((REMOVAL,)))
    case.prepare()
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
    loader = case.start(ChangeBackends((REMOVAL,)))
    assert loader is not None
    case.reloading.on_message(loader, Message(LOAD_FAILED, ("no",), ()), 110.0)
    assert [order_result.is_done for order_result in case.order_results] == [True, False]
    assert case.reloads == (0, 0)


def test_a_dry_run_of_what_is_no_good_is_no_failed_reload(case: Case) -> None:
    loader = case.start(Reload(dry_run=True))
    assert loader is not None
    case.reloading.on_message(loader, Message(LOAD_FAILED, ("no",), ()), 110.0)
    assert (case.order_result.is_done, case.order_result.problems, case.reloads) == (False, ("no",), (0, 0))


def test_without_a_configuration_before_there_is_none_to_go_back_to(case: Case) -> None:
    assert case.start(Reload(rollback=True)) is None
    assert case.order_result.problems == ("there is no configuration before this one, or none that differs, to go back to",)
    assert case.unchanged()


def test_a_rollback_is_a_new_configuration_that_says_where_it_comes_from(case: Case) -> None:
    case.load()
    case.prepare()
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
        case.sent_to(child)
    case.load(BEFORE, Reload(rollback=True))
    for child in case.assigned_children:
        case.sent_to(child)
        case.on_result(child, PREPARED, 3)
    assert [generation.origin for generation in case.supervisor_state.context.history] == ["start", "a test", "rollback to 1"]
    assert case.supervisor_state.context.config == BEFORE


def test_a_slot_is_not_given_away_while_a_worker_holds_something_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, configured("b1", "b2"), max_slots=4)
    case.load(configured("b1"))
    case.prepare()
    for child in case.assigned_children:
        case.on_result(child, COMMITTED)
        case.sent_to(child)
    case.order_results.clear()
    cell = counters.block(2) + counters.ACTIVE
    case.supervisor_state.context.board.rows[0][cell] = 1  # a WebSocket to b2
    case.load(configured("b1", "b3"))
    assert "need more room than the 3 " in case.order_result.problems[0]
    case.order_results.clear()
    case.supervisor_state.context.board.rows[0][cell] = 0
    case.load(configured("b1", "b3"))
    for child in case.assigned_children:
        case.sent_to(child)
        case.on_result(child, PREPARED, 3)
    assert case.supervisor_state.context.slots == {("web", "b1"): 1, ("web", "b3"): 2, ("", "main"): 3}
    case.close()
