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
from dataclasses import replace
from pathlib import Path

import pytest
from undertaken import Scene, configured

from balance.config.changes import BackendChange, Verb
from balance.errors import StartError
from balance.process import handover
from balance.process.handover import LEGACY, STOP, Legacy, bequeath, complain, execute, inherit
from balance.process.line import MAX_FDS, End, Message, line
from balance.process.words import FAILED, HANDOVER, READY

CHANGES = (
    BackendChange(Verb.SET, "web", "b1", '{"weight": 3}', '{"name": "b1"}'),
    BackendChange(Verb.REMOVE, "web", "b2", basis=""),
)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene(configured("b1", "b2"), monkeypatch)
    yield scene
    scene.close()


def environment(end: End) -> dict[str, str]:
    """Of a process that was started with that end, and owns it from now on."""
    return {HANDOVER: str(os.dup(end.fileno())), "HOME": "/"}


def closed(legacy: Legacy) -> None:
    legacy.hang_up()
    os.close(legacy.board_fd)
    os.close(legacy.locks_fd)
    for sock in legacy.sockets:
        sock.close()


def test_all_that_is_given_is_found(scene: Scene) -> None:
    seat = scene.estate.seat
    scene.estate.seat = replace(seat, history=(replace(seat.generation, number=7, changes=CHANGES),))
    mine, theirs = line()
    assert bequeath(mine, scene.estate, scene.estate.any_port())
    environ = environment(theirs)
    legacy = inherit(environ)
    assert legacy is not None
    assert environ == {"HOME": "/"}  # the children of the new instance inherit nothing
    assert not os.get_inheritable(legacy.ends[0].fileno())
    assert os.path.samestat(os.fstat(legacy.board_fd), os.fstat(seat.board.fd))
    assert os.path.samestat(os.fstat(legacy.locks_fd), os.fstat(seat.locks.fileno()))
    assert [sock.getsockname() for sock in legacy.sockets] == [sock.getsockname() for sock in seat.openings.sockets]
    assert (legacy.max_rows, legacy.max_slots, legacy.has_same_layout) == (seat.board.max_rows, seat.board.max_slots, True)
    assert (legacy.book, legacy.generation, legacy.changes) == (scene.estate.book.dump(), 7, list(CHANGES))
    assert legacy.any_port == scene.estate.any_port()
    assert legacy.owned_paths == []
    legacy.ready()
    legacy.stop(30.0)
    assert mine.heard()[0] == [Message(READY, os.getpid(), ()), Message(STOP, 30.0, ())]
    closed(legacy)
    mine.close()
    theirs.close()


def test_the_lines_to_those_who_still_finish_something_are_handed_on(scene: Scene) -> None:
    mine, theirs = line()
    elders = [line() for _ in range(2)]
    assert bequeath(mine, scene.estate, {}, [near for near, _ in elders])
    legacy = inherit(environment(theirs))
    assert legacy is not None
    assert len(legacy.ends) == 3
    assert len(legacy.sockets) == len(scene.estate.seat.openings.sockets)
    for near, _ in elders:
        near.close()
    legacy.stop(30.0)
    legacy.ready()
    assert [far.heard() for _, far in elders] == [([Message(STOP, 30.0, ())], True)] * 2  # who replaced them is no matter
    assert [message.kind for message in mine.heard()[0]] == [STOP, READY]
    elders[0][1].close()
    assert len(legacy.living()) == 2
    closed(legacy)
    for end in (mine, theirs, elders[1][1]):
        end.close()


def test_what_is_said_is_plain_data_for_another_version_to_read(scene: Scene) -> None:
    mine, theirs = line()
    bequeath(mine, scene.estate, {})
    ((message,), _) = theirs.heard()

    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            raise AssertionError(f"{module}.{name} may mean something else there")

    Plain(io.BytesIO(pickle.dumps(message.data))).load()
    for fd in message.fds:
        os.close(fd)
    mine.close()
    theirs.close()


def test_more_sockets_than_one_packet_holds_are_waited_for_on_any_descriptor(tmp_path: Path) -> None:
    mine, theirs = line()
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
    found: list[Legacy | None] = []
    successor = threading.Thread(target=lambda: found.append(inherit({HANDOVER: str(high)})))
    successor.start()
    with open(os.devnull) as file:
        sockets = [sock.fileno() for sock in made]
        mine._send(pickle.dumps(("", None)), [file.fileno(), file.fileno(), *sockets[: MAX_FDS - 2]])
        successor.join(0.05)  # it has taken the first packet, or not
        mine._send(pickle.dumps((LEGACY, said | {"changes": []})), sockets[MAX_FDS - 2 :])
    successor.join(10)
    (legacy,) = found
    assert legacy is not None
    assert len(legacy.sockets) == len(made)
    assert not legacy.has_same_layout
    closed(legacy)
    for sock in made:
        sock.close()
    mine.close()
    theirs.close()


def test_a_process_that_was_started_by_itself_inherits_nothing() -> None:
    assert inherit({}) is None
    assert inherit({HANDOVER: ""}) is None


@pytest.mark.parametrize("number", ["x", "-1", "987654", "file"])
def test_a_number_that_is_no_line_is_refused_in_one_line(number: str, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        number = str(file.fileno()) if number == "file" else number
        with pytest.raises(StartError, match=rf"^{HANDOVER}={number} names no line to an instance that could be replaced$"):
            inherit({HANDOVER: number})


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_a_line_on_which_nothing_comes_is_refused_in_one_line(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "PATIENCE_S", 0.02)
    mine, theirs = line()
    environ = environment(theirs)
    if how == "gone":
        mine.close()
    with pytest.raises(StartError, match=r"^the instance that was to be replaced has said nothing$"):
        inherit(environ)
    mine.close()
    theirs.close()


def test_a_successor_that_is_gone_takes_nothing(scene: Scene) -> None:
    mine, theirs = line()
    theirs.close()
    assert not bequeath(mine, scene.estate, {})
    mine.close()


def test_the_same_command_is_executed_with_its_line_and_what_else_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr("balance.process.handover.os.execve", lambda *called: executed.append(called))
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "balance", "serve", "--config", "f.yaml"])
    monkeypatch.setenv("OWN", "1")
    mine, theirs = line()
    execute(theirs, {"NOTIFY_SOCKET": "/run/x"})
    ((program, argv, environ),) = executed
    assert (program, argv) == (sys.executable, [sys.executable, "-m", "balance", "serve", "--config", "f.yaml"])
    assert (environ["OWN"], environ["NOTIFY_SOCKET"], environ[HANDOVER]) == ("1", "/run/x", str(theirs.fileno()))
    assert os.get_inheritable(theirs.fileno())
    mine.close()
    theirs.close()


def test_one_that_cannot_take_over_says_why(scene: Scene) -> None:
    mine, theirs = line()
    complain(environment(theirs), "a.yaml:1:2: no;\nb")
    assert mine.heard()[0] == [Message(FAILED, "a.yaml:1:2: no; b", ())]
    assert bequeath(mine, scene.estate, {})
    legacy = inherit(environment(theirs))
    assert legacy is not None
    legacy.failed("port 80 is taken")
    assert mine.heard()[0] == [Message(FAILED, "port 80 is taken", ())]
    closed(legacy)


@pytest.mark.parametrize("environ", [{}, {HANDOVER: "x"}, {HANDOVER: "1000000"}])
def test_one_that_replaces_nobody_tells_nobody(environ: dict[str, str]) -> None:
    complain(environ, "why")


def test_a_legacy_without_its_descriptors_is_refused_in_one_line(scene: Scene) -> None:
    mine, theirs = line()
    assert bequeath(mine, scene.estate, {})
    message = theirs.heard()[0][0]
    for fd in message.fds:
        os.close(fd)
    mine.say(LEGACY, message.data)  # what is left where a process has no room for descriptors
    with pytest.raises(StartError, match="no room for the descriptors"):
        inherit(environment(theirs))
