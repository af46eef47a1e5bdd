"""A worker's part in a reload: it prepares beside what it serves, changes over at a word, and forgets without a trace."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import random
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from child_contexts import context, eventually
from descriptors import open_descriptors

from balance.config.model import AccessLog, BackendConfig, Config, HealthCheck, LoggingConfig
from balance.health.states import State
from balance.model import Address
from balance.process import logs
from balance.process.children.child_context import new_event_loop
from balance.process.ipc.messages import (
    ABORT,
    COMMIT,
    COMMITTED,
    NO_DESCRIPTORS,
    PREPARE,
    PREPARED,
    REFUSED,
    ConfigUpdate,
    PrepareRequest,
)
from balance.process.ipc.pipe import Message, pipe_pair, to_memfd
from balance.process.sockets.listen_sockets import inode
from balance.process.worker.health_view import HealthView
from balance.process.worker.shared_store import SharedStore
from balance.process.worker.worker_reload import WorkerReload
from balance.proxy.listener_server import ListenerServer
from balance.runtime import counters
from balance.runtime.backend_slots import SlotBook
from balance.runtime.row import Row
from balance.runtime.snapshot import build


@pytest.fixture(autouse=True)
def log(tmp_path: Path) -> Iterator[Path]:
    """What this process logs goes to a file, as a worker's does."""
    root, own = logging.getLogger(), logging.getLogger("balance")
    before = root.handlers[:], root.level, own.level, logging.raiseExceptions
    config = LoggingConfig(output=str(tmp_path / "balance.log"))
    logs.configure(config, logs.open_output(config), "worker 0")
    yield tmp_path / "balance.log"
    os.close(logs._handler().fd)
    root.handlers[:], root.level, own.level, logging.raiseExceptions = before
    logging.captureWarnings(False)


class Case:
    """A worker that serves, and the supervisor's end of its line."""

    def __init__(self, log: Path) -> None:
        self.context = context(2, max_slots=3000)
        self.book = SlotBook(3000)
        self.book.adopt(self.book.assign(self.context.config, self.context.board.is_unused))
        self.config = replace(self.context.config, logging=LoggingConfig(output=str(log)))
        self.loop = asyncio.get_running_loop()
        self.row = Row(self.context.board.rows[0])
        self.health_view = HealthView(self.loop, self.context, 0)
        shared, to_backends = self.health_view.shared, self.context.tls_to_backends
        snapshot = build(self.config, self.context.slots, self.row, random.random, shared, contexts=to_backends)
        self.listener_server = ListenerServer(self.loop, snapshot, self.row, self.config.logging)
        self.health_view.begin(snapshot, self.listener_server)
        shared_store = SharedStore(shared, self.row.cells, lambda: self.listener_server.snapshot)
        self.worker_reload = WorkerReload(
            self.loop, self.listener_server, self.health_view, self.row, shared_store, to_backends
        )
        self.mine, self._theirs = pipe_pair()
        self.sock = self._bound()
        self.port = self.sock.getsockname()[1]

    @staticmethod
    def _bound() -> socket.socket:
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        return sock

    async def open(self) -> None:
        await self.listener_server.open([("main", self.sock)])
        self.worker_reload.begin({inode(self.sock): self.sock}, self._theirs)

    def send(self, kind: str, data: object, fds: Sequence[int] = ()) -> None:
        assert self.mine.send(kind, data, fds)
        for message in self._theirs.receive()[0]:
            self.worker_reload.on_message(message)

    def ask(self, number: int, config: Config, *new: socket.socket, keep: bool = True) -> None:
        """Have it prepare, with sockets that it has not had before."""
        assignment = self.book.assign(config, self.context.board.is_unused)
        self.book.adopt(assignment)
        self.context.board.use_slots(assignment.used)
        file = to_memfd(pickle.dumps((PREPARE, ConfigUpdate(number, config, dict(assignment.slots), 0.0, "a test"))))
        sockets = [*([self.sock] if keep else []), *new]
        inodes = tuple(("main", inode(sock)) for sock in sockets)
        prepare_request = PrepareRequest(number, inodes, tuple(inode(sock) for sock in new))
        self.send(PREPARE, prepare_request, [file, *(sock.fileno() for sock in new)])
        os.close(file)

    async def answer(self) -> Message:
        """The next word of the worker."""
        messages: list[Message] = []
        await eventually(lambda: bool(messages.extend(self.mine.receive()[0]) or messages))
        (message,) = messages
        return message

    async def turned(self, number: int, config: Config, *new: socket.socket, keep: bool = True) -> None:
        self.ask(number, config, *new, keep=keep)
        assert await self.answer() == Message(PREPARED, number, ())
        self.send(COMMIT, number)
        assert await self.answer() == Message(COMMITTED, number, ())

    def serving(self, *names: str, **changes: Any) -> Config:
        backends = tuple(BackendConfig(name, Address("127.0.0.1", 1)) for name in names)
        return replace(self.config, pools=(replace(self.config.pools[0], backends=backends),), **changes)

    @property
    def served(self) -> list[str]:
        return [backend.name for backend in self.listener_server.snapshot.pools["web"].ready]

    def files(self) -> int:
        return open_descriptors()


def play(log: Path, act: Callable[[Case], Coroutine[Any, Any, None]]) -> None:
    async def stage() -> None:
        case = Case(log)
        await case.open()
        async with asyncio.timeout(20):
            await act(case)
        await case.listener_server.drain(0.0)
        case.mine.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(stage())


async def connects(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


def test_nothing_changes_before_the_commit_and_everything_after(log: Path) -> None:
    async def act(case: Case) -> None:
        case.ask(2, case.serving("b1", "b3"))
        assert await case.answer() == Message(PREPARED, 2, ())
        assert case.served == ["b1", "b2"]
        assert case.row.cells[counters.GENERATION] == 0
        case.send(COMMIT, 2)
        assert await case.answer() == Message(COMMITTED, 2, ())
        assert case.served == ["b1", "b3"]
        assert case.row.cells[counters.GENERATION] == 2

    play(log, act)


def test_an_aborted_preparation_leaves_no_trace(log: Path, tmp_path: Path) -> None:
    async def act(case: Case) -> None:
        await asyncio.get_running_loop().run_in_executor(None, gc.collect)  # the thread is there
        before, snapshot = case.files(), case.listener_server.snapshot
        access = LoggingConfig(output=str(log), access_log=AccessLog(enabled=True, output=str(tmp_path / "access.log")))
        with socket.create_server(("127.0.0.1", 0)) as new:
            case.ask(2, case.serving("b3", logging=access), new)
            await case.answer()
            port = new.getsockname()[1]
        case.send(ABORT, 2)
        case.send(COMMIT, 2)  # of one that was dropped already
        await eventually(lambda: case.files() <= before)
        assert case.listener_server.snapshot is snapshot
        assert not await connects(port)
        await case.turned(2, case.serving("b4"))  # the number is given again
        assert case.served == ["b4"]

    play(log, act)


def test_one_that_is_abandoned_while_it_is_made_is_not_said_to_be_ready(log: Path) -> None:
    async def act(case: Case) -> None:
        case.ask(2, case.serving("b3"))
        case.send(ABORT, 2)
        case.ask(2, case.serving("b4"))
        case.ask(3, case.serving("b5"))
        assert await case.answer() == Message(PREPARED, 3, ())
        case.send(COMMIT, 2)
        case.send(COMMIT, 3)
        assert await case.answer() == Message(COMMITTED, 3, ())
        assert case.served == ["b5"]

    play(log, act)


def test_what_a_thread_needs_for_a_while_is_as_before_afterwards(log: Path) -> None:
    before, interval_s = sys.getswitchinterval(), 0.004  # what nobody else sets

    async def act(case: Case) -> None:
        files = case.files()
        for number in range(2, 7):
            case.ask(number, case.serving("b3"))  # each before the one before has ended
        assert await case.answer() == Message(PREPARED, 6, ())
        await asyncio.sleep(0)
        assert gc.isenabled()
        assert sys.getswitchinterval() == interval_s
        case.send(ABORT, 6)
        await eventually(lambda: case.files() <= files + 1)  # the thread's own

    sys.setswitchinterval(interval_s)
    try:
        play(log, act)
    finally:
        sys.setswitchinterval(before)


def test_what_cannot_be_prepared_is_refused_with_its_reason(log: Path, tmp_path: Path) -> None:
    async def act(case: Case) -> None:
        bad = LoggingConfig(access_log=AccessLog(enabled=True, output=str(tmp_path / "missing" / "access.log")))
        case.ask(2, case.serving("b3", logging=bad))
        message = await case.answer()
        assert (message.kind, message.data[0]) == (REFUSED, 2)
        assert "missing/access.log" in message.data[1]
        assert case.served == ["b1", "b2"]
        case.ask(2, replace(case.serving("b3"), pools=(replace(case.config.pools[0], algorithm="none"),)))
        message = await case.answer()
        assert message == Message(REFUSED, (2, "KeyError: 'none'"), ())
        assert gc.isenabled()
        await case.turned(2, case.serving("b3"))

    play(log, act)


def test_sockets_change_with_the_commit(log: Path) -> None:
    async def act(case: Case) -> None:
        with socket.create_server(("127.0.0.1", 0)) as new:
            port = new.getsockname()[1]
            await case.turned(2, case.serving("b3"), new)
        assert await connects(port)
        assert await connects(case.port)
        with socket.create_server(("127.0.0.1", 0)) as other:
            await case.turned(3, case.serving("b3"), other, keep=False)
            assert await connects(other.getsockname()[1])
        assert not await connects(port)  # nobody else has it
        assert not await connects(case.port)

    play(log, act)


def test_the_log_changes_with_the_commit_and_stays_if_it_cannot_be_opened(log: Path, tmp_path: Path) -> None:
    async def act(case: Case) -> None:
        other = tmp_path / "other.log"
        await case.turned(2, case.serving("b1", logging=LoggingConfig(output=str(other))))
        logging.getLogger("balance").info("one")
        assert "one" in other.read_text()
        await case.turned(3, case.serving("b1", logging=LoggingConfig(output=str(tmp_path / "missing" / "x.log"))))
        logging.getLogger("balance").info("two")
        assert "the log goes on where it was" in other.read_text()
        assert "two" in other.read_text()

    play(log, act)


def test_access_lines_go_where_they_are_to_go_now(log: Path, tmp_path: Path) -> None:
    async def act(case: Case) -> None:
        path = tmp_path / "access.log"
        access = LoggingConfig(output=str(log), access_log=AccessLog(enabled=True, output=str(path)))
        await case.turned(2, case.serving("b1", logging=access))
        path.rename(tmp_path / "access.log.1")
        await case.turned(3, case.serving("b1", logging=access))
        reader, writer = await asyncio.open_connection("127.0.0.1", case.port)
        writer.write(b"GET /it HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 502")
        writer.close()
        await eventually(lambda: "/it" in path.read_text())
        assert "/it" not in (tmp_path / "access.log.1").read_text()

    play(log, act)


def test_many_backends_are_prepared_while_the_loop_turns(log: Path) -> None:
    async def act(case: Case) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        case.ask(2, case.serving(*(f"b{number}" for number in range(1, 2001))))
        assert await case.answer() == Message(PREPARED, 2, ())
        assert turns > 10
        counting.cancel()
        case.send(ABORT, 2)

    play(log, act)


def test_where_there_was_no_room_for_all_descriptors_it_is_refused_and_none_is_kept(log: Path) -> None:
    async def act(case: Case) -> None:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        case.send(PREPARE, PrepareRequest(2, (("main", 1),), (1,)), [theirs])  # the new socket did not come
        os.close(theirs)
        assert await case.answer() == Message(REFUSED, (2, NO_DESCRIPTORS), ())
        assert os.read(ours, 1) == b""  # nobody holds the other end
        os.close(ours)
        await case.turned(2, case.serving("b3"))

    play(log, act)


def test_a_commit_before_prepare_is_done_changes_nothing(log: Path) -> None:
    async def act(case: Case) -> None:
        case.ask(2, case.serving("b3"))
        case.send(COMMIT, 2)
        case.send("something else", 2)
        assert await case.answer() == Message(PREPARED, 2, ())
        case.send("something else", 2)
        assert case.served == ["b1", "b2"]
        case.send(COMMIT, 2)
        assert await case.answer() == Message(COMMITTED, 2, ())
        case.send(COMMIT, 2)  # it is served already
        await case.turned(3, case.serving("b4"))

    play(log, act)


def test_the_socket_of_a_configuration_that_is_refused_keeps_no_port_open(log: Path, tmp_path: Path) -> None:
    async def act(case: Case) -> None:
        bad = LoggingConfig(access_log=AccessLog(enabled=True, output=str(tmp_path / "missing" / "access.log")))
        with socket.create_server(("127.0.0.1", 0)) as new:
            port = new.getsockname()[1]
            case.ask(2, case.serving("b3", logging=bad), new)
            assert (await case.answer()).kind == REFUSED
        assert not await connects(port)

    play(log, act)


def test_an_access_log_that_was_opened_for_nothing_is_closed(log: Path, tmp_path: Path) -> None:
    async def act(case: Case) -> None:
        await asyncio.get_running_loop().run_in_executor(None, gc.collect)  # the thread is there
        files = case.files()
        path = tmp_path / "access.log"
        access = LoggingConfig(output=str(log), access_log=AccessLog(enabled=True, output=str(path)))
        case.ask(2, case.serving("b3", logging=access))
        await asyncio.sleep(0)  # it is being made
        case.send(ABORT, 2)
        await eventually(path.exists)
        await eventually(lambda: case.files() <= files)
        case.ask(3, case.serving("b3", logging=access))
        assert (await case.answer()).kind == PREPARED
        case.ask(4, case.serving("b3"))  # instead
        assert await case.answer() == Message(PREPARED, 4, ())
        await eventually(lambda: case.files() <= files)

    play(log, act)


def test_a_socket_that_came_with_one_configuration_goes_on_with_the_next(log: Path) -> None:
    async def act(case: Case) -> None:
        with socket.create_server(("127.0.0.1", 0)) as new:
            await case.turned(2, case.serving("b3"), new, keep=False)
            case.sock = new
            await case.turned(3, case.serving("b4"))
            port = new.getsockname()[1]
        assert await connects(port)

    play(log, act)


@pytest.mark.parametrize("check", [HealthCheck(), HealthCheck(slow_start_s=1.0)], ids=["plain", "guarded"])
def test_after_the_commit_the_worker_still_follows_backend_states(log: Path, check: HealthCheck) -> None:
    async def act(case: Case) -> None:
        config = case.serving("b2", "b3")
        config = replace(config, pools=(replace(config.pools[0], health_check=check),))
        await case.turned(2, config)
        case.context.board.set_state(case.listener_server.snapshot.slots["web", "b3"], State.UNHEALTHY, 1.0, "it fails")
        case.health_view.refresh()
        assert case.served == ["b2"]

    play(log, act)
