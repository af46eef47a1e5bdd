"""The first configuration is loaded in a process of its own, and what comes of it is as if it had been loaded here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.config.source import Source
from balance.errors import ConfigError, UnreadableError
from balance.process.operations.load_apart import load_apart

TEXT = """\
listen: "127.0.0.1:0"
workers: 64
backends:
  - {name: a, address: "127.0.0.1:9001"}
  - {name: b, address: "127.0.0.1:9002"}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "balance.yaml"
    path.write_text(TEXT)
    return str(path)


def test_what_comes_of_it_is_as_if_it_had_been_loaded_here(file: str) -> None:
    changes = [BackendChange(Verb.SET, "default", "a", '{"weight": 3}'), BackendChange(Verb.SET, "gone", "a", "{}", "{}")]
    here = Source.of_file(file).load(changes)
    apart = load_apart(lambda: Source.of_file(file), changes)
    assert apart.source == Source.of_file(file)
    assert apart.config == here.loaded.config
    assert apart.config.pool("default").backends[0].weight == 3
    assert (apart.kept, apart.dropped) == (tuple(here.kept), tuple(here.dropped))
    assert len(apart.kept) == len(apart.dropped) == 1
    assert apart.warnings == tuple(map(str, here.loaded.warnings)) and "workers: 64 is more than" in apart.warnings[0]


def test_what_only_loading_needs_is_not_in_the_memory_of_who_asks(file: str) -> None:
    code = (
        "import sys\n"
        "from balance.config.source import Source\n"
        "from balance.process.operations.load_apart import load_apart\n"
        f"assert load_apart(lambda: Source.of_file({file!r})).config.workers == 64\n"
        "print([name for name in ('pydantic', 'pydantic_core', 'yaml', 'balance.config.loading') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "[]\n"


def test_every_problem_comes_back_with_its_place_and_so_do_warnings(file: str) -> None:
    wrong = TEXT.replace("9001", "90010").replace("listen:", "lisen:")
    source = Source.of_file(file).with_text(wrong)
    with pytest.raises(ConfigError) as here:
        source.load()
    with pytest.raises(ConfigError) as apart:
        load_apart(lambda: source)
    assert type(apart.value) is ConfigError
    assert len(apart.value.problems) > 1
    assert (apart.value.problems, apart.value.warnings) == (here.value.problems, here.value.warnings)


def test_a_file_that_cannot_be_read_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as error:
        load_apart(lambda: Source.of_file(str(tmp_path / "missing.yaml")))
    assert "No such file" in error.value.problems[0].message


def test_where_no_process_can_be_started_it_is_loaded_here(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> int:
        raise BlockingIOError("no process is left")

    monkeypatch.setattr(os, "fork", none_left)
    before = set(os.listdir("/proc/self/fd"))
    assert load_apart(lambda: Source.of_file(file)).config.workers == 64
    assert set(os.listdir("/proc/self/fd")) == before


def test_where_the_process_dies_it_is_loaded_here(file: str) -> None:
    here = os.getpid()

    def source() -> Source:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return Source.of_file(file)

    assert load_apart(source).config.workers == 64


def test_a_bug_is_raised_here_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    def source() -> Source:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        load_apart(source)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_ends_the_process_that_loads(tmp_path: Path) -> None:
    parent, told = os.getpid(), tmp_path / "pid"

    def source() -> Source:  # as where the file is on a network share that hangs
        told.write_text(str(os.getpid()))
        os.kill(parent, signal.SIGINT)
        time.sleep(60)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        load_apart(source)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)
