"""Log lines: what they look like, where they go, and that nobody waits for them."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from descriptors import open_descriptors

from balance.config.model import LoggingConfig
from balance.errors import StartError
from balance.process.logs import LINE_BYTES, LineFormatter, LineHandler, configure, configure_child, open_output, reopen


def record(message: str, *args: object, level: int = logging.INFO, **rest: object) -> logging.LogRecord:
    made = logging.LogRecord("balance.x", level, "x.py", 1, message, args, None)
    made.created, made.msecs = 1_700_000_000.25, 250.0
    for name, value in rest.items():
        setattr(made, name, value)
    return made


def crash() -> logging.LogRecord:
    try:
        raise ZeroDivisionError("division by zero")
    except ZeroDivisionError:
        return record("it crashed", level=logging.ERROR, exc_info=sys.exc_info())


def test_a_text_line_has_time_level_process_and_message() -> None:
    line = LineFormatter(is_json=False, process="worker 0").format(record("%d gone", 3, level=logging.WARNING))
    assert line == "2023-11-14T22:13:20.250Z warning worker 0: 3 gone"


def test_a_json_line_says_the_same() -> None:
    line = LineFormatter(is_json=True, process="control").format(record('a "quoted" é'))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "process": "control",
        "message": 'a "quoted" é',
    }
    assert "\n" not in line


@pytest.mark.parametrize("is_json", [False, True])
def test_a_line_about_a_request_has_its_ids(is_json: bool) -> None:
    about = record("the backend's reply was not understood")
    about.request_id, about.trace_id = "5f00000001", 'x" \n'
    line = LineFormatter(is_json, "worker 0").format(about)
    if is_json:
        assert [*json.loads(line).items()][-2:] == [("request_id", "5f00000001"), ("trace_id", 'x" \n')]
    else:
        assert line.endswith("worker 0: the backend's reply was not understood request_id=5f00000001 trace_id=x\" \\n")


def test_a_message_cannot_pass_for_a_line_of_its_own() -> None:
    line = LineFormatter(is_json=False, process="control").format(record("bad\n2023-11-14T22:13:20.250Z error forged: x"))
    assert "\n" not in line


def test_a_traceback_cannot_either() -> None:
    try:
        raise ValueError("a client's text\n2023-11-14T22:13:20.250Z error forged: x\u2028\x1b[2J")
    except ValueError:
        text = LineFormatter(is_json=False, process="control").format(record("it crashed", exc_info=sys.exc_info()))
    first, *others = text.split("\n")
    assert first.endswith("control: it crashed")
    assert all(line.startswith("  ") and line.isprintable() for line in others)


@pytest.mark.parametrize("is_json", [False, True])
def test_a_crash_keeps_the_end_of_its_traceback(is_json: bool) -> None:
    text = LineFormatter(is_json, "worker 0").format(crash())
    trace = json.loads(text)["trace"] if is_json else text
    assert trace.endswith("ZeroDivisionError: division by zero")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    readable, writable = os.pipe()
    yield readable, writable
    os.close(readable)
    os.close(writable)


def handler_on(fd: int, *, is_json: bool = False) -> LineHandler:
    handler = LineHandler(fd, "worker 0")
    handler.setFormatter(LineFormatter(is_json, process="worker 0"))
    return handler


def test_a_full_pipe_drops_lines_and_says_how_many_when_there_is_room(pipe: tuple[int, int]) -> None:
    readable, writable = pipe
    handler = handler_on(writable)
    for _ in range(100):
        handler.emit(record("x" * 2000))  # more than a pipe holds: a write that waited would hang this test
    taken = os.read(readable, 2**20).count(b"\n")
    assert 0 < taken < 100
    handler.emit(record("room again"))
    first, second = os.read(readable, 2**16).decode().splitlines()
    assert first.endswith(f" warning worker 0: {100 - taken} lines were lost: nobody took them")
    assert second.endswith("room again")


def test_a_line_is_never_longer_than_what_a_pipe_takes_whole(pipe: tuple[int, int]) -> None:
    readable, writable = pipe
    handler_on(writable).emit(record("é" * 100_000))
    line = os.read(readable, 2**20)
    assert len(line) <= LINE_BYTES and line.endswith(b"\n")


@pytest.mark.parametrize("char", ["x", "\u4f60", '"', "\x01", "\ud800"])
@pytest.mark.parametrize("is_crash", [False, True])
def test_a_long_line_of_json_stays_json_also_behind_a_note_of_others_that_were_lost(
    pipe: tuple[int, int], char: str, is_crash: bool
) -> None:
    readable, writable = pipe
    handler = handler_on(writable, is_json=True)
    for _ in range(100):
        handler.emit(record("x" * 2000))
    lost = 100 - os.read(readable, 2**20).count(b"\n")
    said = crash() if is_crash else record("")
    said.msg = char * 5000
    handler.emit(said)
    note, line = os.read(readable, 2**16).decode().splitlines()
    assert json.loads(note)["message"] == f"{lost} lines were lost: nobody took them"
    assert json.loads(line)["message"].startswith(char * 100)
    assert not is_crash or json.loads(line)["trace"].endswith("division by zero")


@pytest.mark.parametrize("message", ["%d", "%s %s"])
def test_a_broken_message_does_not_reach_the_program(pipe: tuple[int, int], message: str) -> None:
    handler_on(pipe[1]).emit(record(message, "not a number"))
    handler_on(pipe[1]).emit(record("next"))
    assert os.read(pipe[0], 2**16).endswith(b"worker 0: next\n")


def test_nobody_reading_is_no_error() -> None:
    readable, writable = os.pipe()
    os.close(readable)
    handler_on(writable).emit(record("to nobody"))
    os.close(writable)


def test_a_full_disk_is_no_error() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    handler_on(fd).emit(record("no room"))
    os.close(fd)


def test_a_file_that_cannot_be_opened_ends_the_start(tmp_path: Path) -> None:
    path = str(tmp_path / "missing" / "balance.log")
    with pytest.raises(StartError, match=re.escape(f"logging.output: cannot open {path!r}: No such file")):
        open_output(LoggingConfig(output=path))


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, which is as it was after the test."""
    root, own = logging.getLogger(), logging.getLogger("balance")
    before = root.handlers[:], root.level, own.level, logging.raiseExceptions
    yield root
    root.handlers[:], root.level, own.level, logging.raiseExceptions = before
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("level", "said"),
    [("debug", ["d", "i", "w", "lib"]), ("info", ["i", "w", "lib"]), ("warning", ["w", "lib"]), ("error", ["lib"])],
)
def test_the_level_is_balances_own_and_libraries_only_warn(
    tmp_path: Path, level: str, said: list[str], root: logging.Logger
) -> None:
    own = logging.getLogger("balance")
    path = tmp_path / "balance.log"
    config = LoggingConfig(level=level, output=str(path))
    fd = open_output(config)
    configure(config, fd, "control")
    own.debug("d")
    own.info("i")
    own.warning("w")
    logging.getLogger("asyncio").info("not this")
    logging.getLogger("asyncio").warning("lib")
    os.close(fd)
    assert [line.rsplit(" ", 1)[1] for line in path.read_text().splitlines()] == said


# --- a process goes on in another log -------------------------------------------------------------------------


def begun(path: Path, process: str = "supervisor") -> logging.Logger:
    config = LoggingConfig(output=str(path))
    configure(config, open_output(config), process)
    return logging.getLogger("balance")


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path, root: logging.Logger) -> None:
    path, moved = tmp_path / "balance.log", tmp_path / "balance.log.1"
    log = begun(path)
    log.info("before")
    path.rename(moved)
    log.info("meanwhile")
    files = open_descriptors()
    for _ in range(3):
        reopen(LoggingConfig(output=str(path)))
    log.info("after")
    assert [line.rsplit(" ", 1)[1] for line in moved.read_text().splitlines()] == ["before", "meanwhile"]
    assert [line.rsplit(" ", 1)[1] for line in path.read_text().splitlines()] == ["after"]
    assert open_descriptors() == files


def test_format_level_and_place_are_as_configured_now_and_the_name_stays(tmp_path: Path, root: logging.Logger) -> None:
    log = begun(tmp_path / "old.log", "worker 3")
    path = tmp_path / "new.log"
    reopen(LoggingConfig(level="debug", format="json", output=str(path)))
    log.debug("it")
    line = json.loads(path.read_text())
    assert (line["process"], line["level"], line["message"]) == ("worker 3", "debug", "it")
    reopen(LoggingConfig(level="error", output=str(path)))
    log.warning("not this")
    assert path.read_text().count("\n") == 1


def test_a_log_that_cannot_be_opened_leaves_the_one_before(tmp_path: Path, root: logging.Logger) -> None:
    path = tmp_path / "balance.log"
    log = begun(path)
    reopen(LoggingConfig(level="error", format="json", output=str(tmp_path / "missing" / "x.log")))
    log.info("goes on")
    why, after = path.read_text().splitlines()[-2:]
    assert "logging.output: cannot open" in why and why.endswith("; the log goes on where it was")
    assert after.endswith(" info    supervisor: goes on")


def test_standard_output_is_never_closed(tmp_path: Path, root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    configure(LoggingConfig(output="stderr"), 2, "supervisor")
    reopen(LoggingConfig(output=str(tmp_path / "balance.log")))
    os.write(2, b"still there\n")
    assert capfd.readouterr().err == "still there\n"


def test_a_child_writes_the_same_log_in_its_own_name(tmp_path: Path, root: logging.Logger) -> None:
    path = tmp_path / "balance.log"
    log = begun(path)
    log.info("one")
    configure_child(LoggingConfig(output="/nowhere", format="json"), "worker 0")  # what is open is open
    log.info("two")
    first, second = path.read_text().splitlines()
    assert first.endswith("supervisor: one")
    assert json.loads(second)["process"] == "worker 0"


def test_what_others_have_added_to_the_root_is_no_log_of_ours(tmp_path: Path, root: logging.Logger) -> None:
    path = tmp_path / "balance.log"
    log = begun(path)
    root.addHandler(logging.NullHandler())
    reopen(LoggingConfig(output=str(path)))
    log.info("it")
    assert path.read_text().count("it") == 1
