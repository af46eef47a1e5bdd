"""`balance demo` as a user meets it: what it prints is true, and nothing of it outlives it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "balance", "demo"]
LIMIT_S = 15
SHARES = {"red": 3, "green": 2, "blue": 1}


class Demo:
    """A running demo. Its processes are known by a mark in their environment, which children inherit."""

    def __init__(self) -> None:
        self.mark = f"BALANCE_TEST_MARK={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        arguments = ["--port", "0", "--admin-port", "0"]
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**os.environ, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if "Ctrl-C" in line:
                break

    def url(self, name: str) -> str:
        match = re.search(rf"^  {name} +(http://\S+)", self.said, re.MULTILINE)
        assert match, self.said
        return match[1]

    def six(self) -> Counter[str]:
        """Who answered six requests, each on a connection of its own."""
        return Counter(fetch(self.url("balancer") + "/").strip() for _ in range(6))

    def pids(self) -> list[int]:
        """All living processes of this demo, its own included."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self.mark in environment(pid)]

    def close(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):  # the death of one may have been the end of the next
                os.kill(pid, signal.SIGKILL)
        self.process.communicate(timeout=LIMIT_S)


def environment(pid: int) -> str:
    """Empty for a process that has ended, or is somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def fetch(url: str, data: bytes | None = None) -> str:
    with urllib.request.urlopen(url, data, timeout=LIMIT_S) as response:
        return str(response.read().decode())


def comes_true(claim: Callable[[], bool]) -> bool:
    """Whether it is so before the limit."""
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s:
        if claim():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def demo() -> Iterator[Demo]:
    demo = Demo()
    try:
        yield demo
    finally:
        demo.close()


@pytest.mark.drill
def test_any_six_requests_are_shared_3_2_1(demo: Demo) -> None:
    assert [demo.six() for _ in range(5)] == [SHARES] * 5


@pytest.mark.drill
def test_a_backend_made_to_fail_leaves_and_a_healed_one_returns(demo: Demo) -> None:
    fetch(demo.url("blue") + "/fail", b"")
    assert comes_true(lambda: "blue" not in demo.six())
    assert demo.six().keys() == {"red", "green"}
    fetch(demo.url("blue") + "/fail?on=0", b"")
    assert comes_true(lambda: demo.six() == SHARES)


@pytest.mark.long
@pytest.mark.drill
def test_sticky_sessions_are_to_be_seen_at_lb(demo: Demo) -> None:
    url = demo.url("balancer") + "/lb"
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    kept = {opener.open(url, timeout=LIMIT_S).read().decode().split()[0] for _ in range(6)}
    assert len(kept) == 1
    assert Counter(fetch(url).split()[0] for _ in range(6)) == SHARES  # without the cookie


@pytest.mark.drill
def test_the_dashboard_is_where_it_says(demo: Demo) -> None:
    assert "<title>Balance</title>" in fetch(demo.url("dashboard"))


@pytest.mark.long
@pytest.mark.drill
@pytest.mark.parametrize(("flags", "is_opened"), [([], True), (["--no-browser"], False)])
def test_at_a_terminal_with_a_display_the_dashboard_opens_in_the_browser(
    tmp_path: Path, flags: list[str], is_opened: bool
) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    controller, terminal = os.openpty()
    environ = {**os.environ, "DISPLAY": ":99", "BROWSER": str(browser)}
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--admin-port", "0", *flags], env=environ, stdout=terminal, stderr=subprocess.STDOUT
    )
    os.close(terminal)
    try:
        said = ""
        while "Ctrl-C" not in said:
            said += os.read(controller, 4096).decode()
        match = re.search(r"dashboard +(http://\S+)", said)
        assert match, said
        if is_opened:
            assert comes_true(opened.exists)
            assert opened.read_text() == match[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)
        os.close(controller)
    assert opened.exists() is is_opened


@pytest.mark.drill
def test_every_command_it_suggests_works(demo: Demo) -> None:
    commands = [line.strip() for line in demo.said.splitlines() if " curl " in f" {line.strip()} "]
    assert len(commands) >= 6
    for command in commands:
        done = subprocess.run(command.replace("curl", "curl -f"), shell=True, capture_output=True, timeout=LIMIT_S)
        assert (done.returncode, bool(done.stdout)) == (0, True), command


@pytest.mark.drill
@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(other, marks=pytest.mark.long) for other in (signal.SIGTERM, signal.SIGHUP))]
)
def test_signal_ends_it_with_status_0_and_leaves_no_process(demo: Demo, number: signal.Signals) -> None:
    assert len(demo.pids()) >= 5
    demo.process.send_signal(number)
    assert demo.process.wait(LIMIT_S) == 0
    assert demo.pids() == []
    assert not Path(demo.said.partition("configuration")[2].split()[0]).exists()


@pytest.mark.long
@pytest.mark.drill
def test_killed_demo_leaves_no_process(demo: Demo) -> None:
    demo.process.kill()
    assert comes_true(lambda: demo.pids() == [])


@pytest.mark.drill
@pytest.mark.parametrize("part", ["serve", pytest.param("backend", marks=pytest.mark.long)])
def test_death_of_a_part_ends_the_whole_and_is_named(demo: Demo, part: str) -> None:
    def is_part(pid: int) -> bool:
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return part in arguments and parent(pid) == demo.process.pid

    victim = next(pid for pid in demo.pids() if is_part(pid))
    os.kill(victim, signal.SIGKILL)
    assert demo.process.wait(LIMIT_S) == 1
    assert demo.process.stderr is not None
    assert re.search(r"^balance: .* ended by SIGKILL$", demo.process.stderr.read(), re.MULTILINE)
    assert comes_true(lambda: demo.pids() == [])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_taken_port_is_one_line_that_suggests_a_free_one(flag: str) -> None:
    other = {"--port": "--admin-port", "--admin-port": "--port"}[flag]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = subprocess.run([*COMMAND, flag, str(port), other, "0"], capture_output=True, text=True, timeout=LIMIT_S)
    assert refused.returncode == 1
    match = re.fullmatch(rf"balance: port {port} is taken by another program; try: balance demo {flag} (\d+)\n", refused.stderr)
    assert match, refused.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", int(match[1])))


def test_same_port_twice_is_refused() -> None:
    refused = subprocess.run([*COMMAND, "--port", "9", "--admin-port", "9"], capture_output=True, text=True, timeout=LIMIT_S)
    assert refused.returncode == 2
    assert "--port and --admin-port are both 9" in refused.stderr
