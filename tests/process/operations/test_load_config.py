"""The process that reads and checks a configuration: what it says, once, whatever it finds."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from descriptors import open_descriptors

from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.config.source import Kind, Source
from balance.process.children.child import SupervisorPipe
from balance.process.ipc.messages import LOAD_FAILED, LOADED
from balance.process.ipc.pipe import Message, PipeEnd, pipe_pair
from balance.process.operations import load_config
from balance.process.operations.load_config import Loaded, LoadRequest, load
from balance.process.sockets.listen_sockets import ListenSockets

TEXT = "mode: http\nlisten: 127.0.0.1:0\nbackends: [{name: b1, address: 127.0.0.1:9001}]\n"
MORE = TEXT.replace("}]", "}, {name: b2, address: 127.0.0.1:9002}]")


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PipeEnd, PipeEnd]]:
    monkeypatch.setattr(load_config.os, "nice", lambda by: None)  # this process is no loader
    mine, theirs = pipe_pair()
    yield mine, theirs
    mine.close()
    theirs.close()


def said(ends: tuple[PipeEnd, PipeEnd], request: LoadRequest) -> Message:
    """What the loader says of it."""
    assert load(request, ListenSockets((), (), ()), SupervisorPipe(ends[0])) == 0
    (message,) = ends[1].receive()[0]
    return message


def loaded(ends: tuple[PipeEnd, PipeEnd], request: LoadRequest) -> Loaded:
    message = said(ends, request)
    assert message.kind == LOADED
    found = message.data
    assert isinstance(found, Loaded)
    return found


def names(found: Loaded) -> list[str]:
    return [backend.name for backend in found.config.pools[0].backends]


def test_a_file_is_read_anew_or_taken_as_it_was(ends: tuple[PipeEnd, PipeEnd], tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(MORE)
    source = Source(Kind.FILE, str(file), TEXT)
    again = loaded(ends, LoadRequest(source, True, ()))
    assert (names(again), again.source.text) == (["b1", "b2"], MORE)
    before = loaded(ends, LoadRequest(source, False, ()))
    assert (names(before), before.source) == (["b1"], source)


def test_every_problem_is_a_line(ends: tuple[PipeEnd, PipeEnd]) -> None:
    text = TEXT.replace("http", "htp").replace("9001", "70000")
    message = said(ends, LoadRequest(Source(Kind.FILE, "f.yaml", text), False, ()))
    assert message.kind == LOAD_FAILED
    assert len(message.data) == 2
    assert all(pipe_pair.startswith("f.yaml:") for pipe_pair in message.data)


def test_a_file_that_is_gone_is_a_problem_too(ends: tuple[PipeEnd, PipeEnd], tmp_path: Path) -> None:
    message = said(ends, LoadRequest(Source(Kind.FILE, str(tmp_path / "gone.yaml"), TEXT), True, ()))
    assert message.kind == LOAD_FAILED
    (problem,) = message.data
    assert "gone.yaml" in problem
    assert "can't be read" in problem


def test_a_name_to_listen_on_that_does_not_resolve_is_one_line(ends: tuple[PipeEnd, PipeEnd]) -> None:
    text = TEXT.replace("127.0.0.1:0", "nowhere.invalid:80")
    message = said(ends, LoadRequest(Source(Kind.FILE, "f.yaml", text), False, ()))
    assert message.kind == LOAD_FAILED
    assert message.data == (
        "listener main: cannot listen on nowhere.invalid:80: the name 'nowhere.invalid' does not resolve; "
        "write an address of this machine",
    )


def test_what_names_stand_for_comes_with_what_was_read(ends: tuple[PipeEnd, PipeEnd]) -> None:
    text = TEXT + "admin: {listen: 'localhost:0'}\n"
    hosts = loaded(ends, LoadRequest(Source(Kind.FILE, "f.yaml", text), False, ())).hosts
    assert hosts["127.0.0.1"] == ((socket.AF_INET, "127.0.0.1"),)
    assert hosts["localhost"]


def test_changes_made_at_run_time_are_laid_over_it_as_far_as_they_hold(ends: tuple[PipeEnd, PipeEnd]) -> None:
    kept = BackendChange(Verb.ADD, "default", "b2", '{"address": "127.0.0.1:9002"}')
    (change,) = loaded(ends, LoadRequest(Source(Kind.FILE, "f.yaml", TEXT), False, (kept,))).changes
    found = loaded(ends, LoadRequest(Source(Kind.FILE, "f.yaml", TEXT), False, (change,)))
    assert names(found) == ["b1", "b2"]
    assert found.dropped == ()
    anew = loaded(ends, LoadRequest(Source(Kind.FILE, "f.yaml", MORE), False, (change,)))
    assert (names(anew), anew.changes) == (["b1", "b2"], ())
    assert len(anew.dropped) == 1


def test_what_is_good_and_doubtful_is_said_with_it(ends: tuple[PipeEnd, PipeEnd]) -> None:
    text = TEXT + "http: {compression: {level: 1}}\n"
    (warning,) = loaded(ends, LoadRequest(Source(Kind.FILE, "f.yaml", text), False, ())).warnings
    assert warning.startswith("f.yaml:4:")


def test_a_configuration_of_any_size_arrives(ends: tuple[PipeEnd, PipeEnd]) -> None:
    backends = ", ".join(f"{{name: b{n}, address: 127.0.0.1:{n}}}" for n in range(1, 3001))
    text = f"mode: http\nlisten: 127.0.0.1:0\nbackends: [{backends}]\n"
    gc.collect()  # what other tests have left
    before = open_descriptors()
    assert len(names(loaded(ends, LoadRequest(Source(Kind.FILE, "f.yaml", text), False, ())))) == 3000
    assert open_descriptors() == before
