"""A child process ends on request, by force, and with its parent."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from balance.cli.child_process import ChildProcess
from balance.errors import StartError

LIMIT_S = 10
BACKEND = ["backend", "--port", "0"]

# A parent that says its child's first line and then waits to be killed.
PARENT = """
import asyncio
from balance.cli.child_process import ChildProcess

async def main():
    child = await ChildProcess.start("the child", ["backend", "--port", "0"], is_heard=True)
    print(child.pid, await child.first_line(10), flush=True)
    await child.end()

asyncio.run(main())
"""


def test_stop_asks_first() -> None:
    async def story() -> None:
        child = await ChildProcess.start("it", BACKEND, is_heard=True)
        assert (await child.first_line(LIMIT_S)).startswith("backend backend listening on")
        await child.stop(LIMIT_S)
        with pytest.raises(StartError, match="it ended with status 0"):
            await child.end()

    asyncio.run(story())


def test_stop_kills_what_does_not_listen() -> None:
    async def story() -> None:
        child = await ChildProcess.start("it", BACKEND, is_heard=True)
        await child.first_line(LIMIT_S)
        os.kill(child.pid, signal.SIGSTOP)
        await child.stop(0.05)
        with pytest.raises(StartError, match="it ended by SIGKILL"):
            await child.end()

    asyncio.run(story())


def test_child_that_says_nothing_is_reported_with_its_status() -> None:
    async def story() -> None:
        child = await ChildProcess.start("it", ["--no-such-flag"], is_heard=True)
        with pytest.raises(StartError, match="it ended with status 2"):
            await child.first_line(LIMIT_S)

    asyncio.run(story())


def test_child_is_this_package_wherever_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('the wrong click')")
    monkeypatch.chdir(tmp_path)

    async def story() -> None:
        child = await ChildProcess.start("it", BACKEND, is_heard=True)
        assert "listening" in await child.first_line(LIMIT_S)
        await child.stop(LIMIT_S)

    asyncio.run(story())


def test_child_ends_with_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    child = os.pidfd_open(pid)
    try:
        parent.kill()
        parent.wait(LIMIT_S)
        poll = select.poll()
        poll.register(child, select.POLLIN)
        assert poll.poll(LIMIT_S * 1000), f"process {pid} is still there"
    finally:
        os.close(child)
