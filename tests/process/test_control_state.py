"""Control's part in a reload: told to prepare it does, told to commit everything it shows and checks is another."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pickle
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from child_contexts import context, eventually

from balance.admin.supervisor_orders import OrderResult, Restart
from balance.config.model import AdminConfig, BackendConfig, Config, HealthCheck, LoggingConfig, MetricsConfig, PassiveChecks
from balance.config.source import Kind, Source
from balance.health.states import Event, State
from balance.model import Address, Outcome
from balance.process import logs
from balance.process.children.child import SupervisorPipe
from balance.process.children.child_context import new_event_loop
from balance.process.control.control import Control
from balance.process.generation import MAX_GENERATIONS
from balance.process.ipc.messages import (
    ABORT,
    COMMIT,
    COMMITTED,
    FILE_CHANGED,
    GRACEFUL_STOP,
    NO_DESCRIPTORS,
    ORDER,
    ORDER_RESULT,
    PREPARE,
    PREPARED,
    READY,
    REFUSED,
    ConfigUpdate,
    PrepareRequest,
)
from balance.process.ipc.pipe import Message, pipe_pair, to_memfd
from balance.process.ipc.wakeup import WakeupReason
from balance.process.sockets.listen_sockets import inode, open_all
from balance.runtime import counters
from balance.runtime.health_gate import HealthGate, Shared

LOCAL = Address("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def log(tmp_path: Path) -> Iterator[Path]:
    """What this process logs goes to a file, as control's does."""
    root, own = logging.getLogger(), logging.getLogger("balance")
    before = root.handlers[:], root.level, own.level, logging.raiseExceptions
    config = LoggingConfig(output=str(tmp_path / "balance.log"))
    logs.configure(config, logs.open_output(config), "control")
    yield tmp_path / "balance.log"
    os.close(logs._handler().fd)
    root.handlers[:], root.level, own.level, logging.raiseExceptions = before
    logging.captureWarnings(False)


class Case:
    """Control on its loop, and the supervisor's end of its line."""

    def __init__(self, log: Path, file: Path | None = None) -> None:
        child_context = context(2, max_slots=8)
        self.config = replace(
            child_context.config,
            admin=AdminConfig(address=LOCAL),
            metrics=MetricsConfig(address=None),
            logging=LoggingConfig(output=str(log)),
        )
        self.listen_sockets = open_all(replace(self.config, listeners=()))
        self.liveness_pipe, self.lifeline_end = os.pipe()
        source = Source(Kind.FILE, str(file or "f.yaml"), file.read_text() if file else "")
        generation = replace(child_context.generation, config=self.config, source=source)
        self.context = replace(
            child_context,
            history=(generation,),
            listen_sockets=self.listen_sockets,
            liveness_pipe=self.liveness_pipe,
            watch_config=file is not None,
        )
        self.mine, theirs = pipe_pair()
        self.control = Control(asyncio.get_running_loop(), self.context, SupervisorPipe(theirs))
        self.task = asyncio.ensure_future(self.control.serve())

    @property
    def port(self) -> int:
        return self.listen_sockets.admin[0].address.port

    async def receive(self) -> Message:
        """The next word of control."""
        messages: list[Message] = []
        await eventually(lambda: bool(messages.extend(self.mine.receive()[0]) or messages))
        (message,) = messages
        return message

    def ask(self, number: int, config: Config, *sockets: socket.socket, new: Sequence[socket.socket] = ()) -> None:
        slots = {(pool.name, each.name): slot for pool in config.pools for slot, each in enumerate(pool.backends, 1)}
        self.context.board.use_slots(len(slots) + 1)
        file = to_memfd(pickle.dumps((PREPARE, ConfigUpdate(number, config, slots, 7.0, "a test"))))
        inodes = tuple(("admin", inode(sock)) for sock in (*sockets, *new))
        listening = (("main", Address("127.0.0.1", 1234)),)
        prepare_request = PrepareRequest(number, inodes, tuple(inode(sock) for sock in new), listening)
        assert self.mine.send(PREPARE, prepare_request, [file, *(sock.fileno() for sock in new)])
        os.close(file)

    async def turned(self, number: int, config: Config, *sockets: socket.socket, new: Sequence[socket.socket] = ()) -> None:
        self.ask(number, config, *sockets, new=new)
        assert await self.receive() == Message(PREPARED, number, ())
        self.mine.send(COMMIT, number)
        assert await self.receive() == Message(COMMITTED, number, ())

    def serving(self, *names: str) -> Config:
        backends = tuple(BackendConfig(name, Address("127.0.0.1", 9000 + int(name[1:]))) for name in names)
        return replace(self.config, pools=(replace(self.config.pools[0], backends=backends),))

    async def get(self, path: str, port: int = 0, method: str = "GET") -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode())
        reply = await reader.read()
        writer.close()
        return json.loads(reply.partition(b"\r\n\r\n")[2])

    async def backends(self) -> list[str]:
        status = await self.get("/status")
        return [backend["name"] for backend in status["pools"][0]["backends"]]


def play(act: Callable[[Case], Coroutine[Any, Any, None]], log: Path, file: Path | None = None) -> None:
    async def stage() -> None:
        case = Case(log, file)
        async with asyncio.timeout(20):
            assert await case.receive() == Message(READY, None, ())
            await act(case)
            os.close(case.lifeline_end)  # the supervisor is dead
            await case.task
        case.listen_sockets.close()
        os.close(case.liveness_pipe)
        case.mine.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(stage())


def test_the_view_changes_with_the_commit_and_not_before(log: Path) -> None:
    async def act(case: Case) -> None:
        admin = case.listen_sockets.admin[0].sockets[0]
        case.context.board.set_state(2, State.DRAINING, 1.0)
        case.ask(2, case.serving("b1", "b2", "b3"), admin)
        assert await case.receive() == Message(PREPARED, 2, ())
        assert await case.backends() == ["b1", "b2"]
        case.mine.send(COMMIT, 2)
        assert await case.receive() == Message(COMMITTED, 2, ())
        assert await case.backends() == ["b1", "b2", "b3"]
        status = await case.get("/status")
        assert status["listeners"][0]["listen"] == ["127.0.0.1:1234"]
        generations = case.control._view.generations()
        assert [(each.number, each.origin, each.is_current) for each in generations] == [
            (1, "start", False),
            (2, "a test", True),
        ]

    play(act, log)


def open_files() -> set[str]:
    """What this process has open, as the kernel calls it; other tests' threads may open and close more meanwhile."""
    names = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.add(os.readlink(f"/proc/self/fd/{fd}"))
    return names


def test_one_that_is_abandoned_changes_nothing_and_keeps_no_socket(log: Path) -> None:
    async def act(case: Case) -> None:
        with socket.create_server(("127.0.0.1", 0)) as new:
            name = os.readlink(f"/proc/self/fd/{new.fileno()}")
            for _ in range(3):  # also one that is asked for over another
                case.ask(2, case.serving("b1"), new=[new])
                assert await case.receive() == Message(PREPARED, 2, ())
        case.mine.send(ABORT, 2)
        case.mine.send(COMMIT, 2)
        assert await case.backends() == ["b1", "b2"]
        await eventually(lambda: name not in open_files())

    play(act, log)


def test_where_there_was_no_room_for_all_descriptors_it_is_refused_and_none_is_kept(log: Path) -> None:
    async def act(case: Case) -> None:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        assert case.mine.send(PREPARE, PrepareRequest(2, (("admin", 1),), (1,)), [theirs])  # the new socket did not come
        os.close(theirs)
        assert await case.receive() == Message(REFUSED, (2, NO_DESCRIPTORS), ())
        assert os.read(ours, 1) == b""  # nobody holds the other end
        os.close(ours)
        await case.turned(2, case.serving("b1"), case.listen_sockets.admin[0].sockets[0])

    play(act, log)


def test_the_admin_port_moves_with_the_commit(log: Path) -> None:
    async def act(case: Case) -> None:
        with socket.create_server(("127.0.0.1", 0)) as new:
            port = new.getsockname()[1]
            await case.turned(2, case.serving("b1"), new=[new])
        assert (await case.get("/status", port))["status"]
        assert await case.backends() == ["b1"]  # whoever ordered it through the old one still gets the answer

    play(act, log)


def with_check(config: Config, check: HealthCheck) -> Config:
    return replace(config, pools=(replace(config.pools[0], health_check=check),))


def test_a_backend_added_by_a_reload_is_probed_and_can_be_drained(log: Path) -> None:
    async def act(case: Case) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        config = with_check(case.serving("b1", "b2", f"b{port - 9000}"), HealthCheck(enabled=True, interval_s=0.05))
        await case.turned(2, config, case.listen_sockets.admin[0].sockets[0])
        await eventually(lambda: case.context.board.state(3)[0] is State.UNHEALTHY)
        assert "refused" in case.context.board.reason(3)
        case.control._apply_admin_event(3, Event.DRAIN, "an order")
        assert case.context.board.state(3)[0] is State.DRAINING

    play(act, log)


def test_a_backend_added_by_a_reload_is_under_outlier_detection(log: Path) -> None:
    async def act(case: Case) -> None:
        check = HealthCheck(passive=PassiveChecks(enabled=True, consecutive_failures=3, window_s=1000.0))
        config = with_check(case.serving("b1", "b2", "b3"), check)
        await case.turned(2, config, case.listen_sockets.admin[0].sockets[0])
        board, wakeup = case.context.board, case.context.wakeups[0]
        shared = Shared(
            board.rows, board.evidence, case.context.locks, failed=lambda: wakeup.wake_control(WakeupReason.FAILURES)
        )
        guard = HealthGate(config.pools[0].breaker, 3, board.rows[0], shared)
        for _ in range(3):
            board.rows[0][counters.block(3) + counters.LEASES] += 1
            guard.ended(object(), Outcome.FAILED, True, asyncio.get_running_loop().time())
        await eventually(lambda: board.state(3)[0] is State.EJECTED)

    play(act, log)


def test_only_so_many_configurations_are_remembered(log: Path) -> None:
    async def act(case: Case) -> None:
        for number in range(2, MAX_GENERATIONS + 4):
            await case.turned(number, replace(case.serving("b1"), workers=number), case.listen_sockets.admin[0].sockets[0])
        numbers = [each.number for each in case.control._view.generations()]
        assert numbers == list(range(4, MAX_GENERATIONS + 4))

    play(act, log)


def test_an_order_goes_to_the_supervisor_and_its_verdict_to_who_gave_it(log: Path) -> None:
    async def act(case: Case) -> None:
        asking = asyncio.ensure_future(case.get("/restart", method="POST"))
        message = await case.receive()
        number, order = message.data
        assert (message.kind, order) == (ORDER, Restart())
        lines = tuple("a line that is long" * 10 for _ in range(1000))
        case.mine.send(
            ORDER_RESULT, (number, OrderResult(True, 1, lines, summary="2 workers replaced"))
        )  # more than a packet holds
        assert "2 workers replaced" in json.dumps(await asking)

    play(act, log)


def test_a_changed_file_is_reported(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balance.process.control.polling.POLL_INTERVAL_S", 0.01)
    file = tmp_path / "balance.yaml"
    file.write_text("one")

    async def act(case: Case) -> None:
        file.write_text("more")
        assert await case.receive() == Message(FILE_CHANGED, None, ())

    play(act, log, file)


def test_it_ends_when_it_is_told_to(log: Path) -> None:
    async def act(case: Case) -> None:
        case.mine.send(GRACEFUL_STOP, 1.0)
        await case.task

    play(act, log)
