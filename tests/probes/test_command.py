"""The exec health check with real programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from balance.config.model import BackendConfig, HealthCheck
from balance.model import Address
from balance.probes.command import LIMIT_BYTES, environment, probe
from balance.probes.result import Result
from balance.process.children.child_context import new_event_loop

BACKEND = BackendConfig("app-1", Address("127.0.0.1", 9001))


def run(*command: str, timeout_s: float = 10.0) -> Result:
    check = HealthCheck(enabled=True, kind="exec", command=command, timeout_s=timeout_s)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(probe(check, BACKEND))


def sh(script: str, timeout_s: float = 10.0) -> Result:
    return run("/bin/sh", "-c", script, timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("script", "is_ok", "reason", "is_explicit"),
    [
        ("exit 0", True, "exit status 0", False),
        ("echo fine; echo more", True, "exit status 0: fine", False),
        ("exit 3", False, "exit status 3", True),
        ("echo replication lags >&2; exit 1", False, "exit status 1: replication lags", True),
        ("kill -9 $$", False, "killed by signal 9", False),
    ],
)
def test_the_exit_status_is_the_verdict_and_the_first_line_its_reason(
    script: str, is_ok: bool, reason: str, is_explicit: bool
) -> None:
    result = sh(script)
    assert (result.is_ok, result.reason, result.is_explicit) == (is_ok, reason, is_explicit)


def test_it_is_a_list_and_no_shell_looks_at_it() -> None:
    assert run("/bin/echo", "$HOME; exit 1", "*").reason == "exit status 0: $HOME; exit 1 *"


def test_the_command_knows_whom_to_ask() -> None:
    script = "echo $BALANCE_BACKEND_NAME $BALANCE_BACKEND_ADDRESS $BALANCE_BACKEND_HOST $BALANCE_BACKEND_PORT"
    assert sh(script).reason == "exit status 0: app-1 127.0.0.1:9001 127.0.0.1 9001"


def test_the_checks_own_port_and_unix_sockets_are_told_too() -> None:
    told = environment(HealthCheck(port=9009), BACKEND)
    assert (told["BALANCE_BACKEND_PORT"], told["BALANCE_BACKEND_ADDRESS"]) == ("9009", "127.0.0.1:9009")
    told = environment(HealthCheck(), BackendConfig("u", Address("", 0, "/run/u.sock")))
    assert (told["BALANCE_BACKEND_PATH"], told["BALANCE_BACKEND_ADDRESS"]) == ("/run/u.sock", "unix:/run/u.sock")
    assert "BALANCE_BACKEND_PORT" not in told


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/program", "cannot run '/no/such/program': no such file or directory"),
        ("/etc/passwd", "cannot run '/etc/passwd': permission denied"),
    ],
)
def test_a_program_that_is_not_there_is_a_bad_answer(command: str, reason: str) -> None:
    assert run(command)[:2] == (False, reason)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_at_the_timeout_the_whole_process_group_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()
    result = sh(f"sleep 60 & echo $! $$ > {pids}; wait", timeout_s=1.0)
    assert result[:2] == (False, "no answer within 1s; killed")
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 10
    left = [int(pid) for pid in pids.read_text().split()]
    assert len(left) == 2
    while any(map(is_alive, left)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, left))


def test_what_it_leaves_running_does_not_keep_it_from_being_done(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    result = sh(f"sleep 60 & echo $! > {pid}; exit 0", timeout_s=20.0)
    os.kill(int(pid.read_text()), 9)
    assert result.is_ok
    assert result.duration_s < 10


def test_endless_output_is_neither_kept_nor_in_the_way() -> None:
    script = f"import sys; sys.stdout.write('x' * {50 * LIMIT_BYTES}); sys.exit(4)"
    result = run(sys.executable, "-c", script)
    assert result.reason == f"exit status 4: {'x' * 200}"


def test_an_ignored_signal_is_not_inherited() -> None:
    """Control ignores what a terminal sends to all; a check that could not be terminated would pile up behind `timeout`."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert sh("kill -TERM $$; sleep 5").reason == "killed by signal 15"
    finally:
        signal.signal(signal.SIGTERM, before)
