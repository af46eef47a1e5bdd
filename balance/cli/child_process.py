"""A `balance` child process of another command; it never outlives its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import balance
from balance.errors import StartError
from balance.process.os_calls import set_parent_death_signal


class ChildProcess:
    """One running `balance COMMAND`, leader of a process group of its own."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, name: str, arguments: Sequence[str], *, is_heard: bool = False) -> ChildProcess:
        """`is_heard`: its stdout comes here, for `first_line`; otherwise it goes where ours goes."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a file in the user's directory must not be imported for one of ours
            "-m",
            "balance",
            *arguments,
            env={**os.environ, "PYTHONPATH": import_path()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if is_heard else None,
            # Ctrl-C reaches the terminal's whole process group; in their own group, children are stopped in our order.
            process_group=0,
            preexec_fn=partial(set_parent_death_signal, os.getpid(), signal.SIGTERM),
        )
        return cls(name, process)

    async def first_line(self, limit_s: float) -> str:
        """The first line of its output, which it prints when it is ready."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise StartError(f"{self.name} was not ready within {limit_s:g} s") from None
        if not line:
            await self.end()
        return line.decode().strip()

    async def end(self) -> None:
        """Wait until it ends unexpectedly; raises StartError with its status."""
        status = await self._process.wait()
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        raise StartError(f"{self.name} ended {how}")

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, wait, then SIGKILL to its process group."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """SIGKILL to its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def import_path() -> str:
    """PYTHONPATH with the place first from which this very package was imported."""
    place = str(Path(balance.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return f"{place}{os.pathsep}{inherited}" if inherited else place
