"""Health check by a command (`type: exec`): passes when it exits with 0 within the timeout.

The command runs without a shell, with BALANCE_BACKEND_NAME, _ADDRESS, _HOST and _PORT (or _PATH) in its environment. At the
timeout its process group is killed. The first line of its output is part of the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT

from balance.background_tasks import spawn
from balance.config.model import BackendConfig, HealthCheck
from balance.probes.dial import target
from balance.probes.result import Result, seconds

LIMIT_BYTES = 4096
LINE_CHARS = 200


class Output:
    """The command's output: the beginning is kept, the rest is read and dropped so that the pipe never fills.

    Not asyncio's pipe, since asyncio waits for its end, and a background process of the command may keep it open.
    """

    def __init__(self) -> None:
        self.captured = bytearray()
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read_end, self._read)

    def _read(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._read_end, LIMIT_BYTES)
            self.captured += data[: LIMIT_BYTES - len(self.captured)]
            if data:
                return True
            self._loop.remove_reader(self._read_end)
        return False

    def close(self) -> None:
        """Read what is there without waiting, then close the pipe."""
        while len(self.captured) < LIMIT_BYTES and self._read():
            pass
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)

    @property
    def first_line(self) -> str:
        return self.captured.decode("utf-8", "replace").strip().partition("\n")[0][:LINE_CHARS]


def environment(check: HealthCheck, backend: BackendConfig) -> dict[str, str]:
    """The process's environment with the backend's variables."""
    address = target(check, backend.address)
    about = {"NAME": backend.name, "ADDRESS": str(address)}
    about |= {"PATH": address.path} if address.is_unix else {"HOST": address.host, "PORT": str(address.port)}
    return dict(os.environ) | {f"BALANCE_BACKEND_{key}": value for key, value in about.items()}


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Passes when the command exits with 0. Any other status is an explicit failure."""
    started = time.monotonic()
    output = Output()
    try:
        status = await _run(check, backend, output)
    except TimeoutError:
        return Result(False, f"no answer within {seconds(check.timeout_s)}; killed", time.monotonic() - started)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        return Result(False, f"cannot run {check.command[0]!r}: {reason.lower()}", time.monotonic() - started)
    finally:
        output.close()
    words = f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
    line = output.first_line
    return Result(status == 0, f"{words}: {line}" if line else words, time.monotonic() - started, status > 0)


async def _run(check: HealthCheck, backend: BackendConfig, output: Output) -> int:
    try:
        process = await asyncio.create_subprocess_exec(
            *check.command,
            stdin=DEVNULL,
            stdout=output.write_end,
            stderr=STDOUT,
            env=environment(check, backend),
            start_new_session=True,
            preexec_fn=obey_signals,
        )
    finally:
        os.close(output.write_end)
    try:
        async with asyncio.timeout(check.timeout_s):
            return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            spawn(process.wait(), "end of a check")  # to leave no zombie


def obey_signals() -> None:
    """In the child: reset the signals that the control process ignores, since ignored signals are inherited."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
