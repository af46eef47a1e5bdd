"""The question that only a program of the user's can ask (`type: exec`): good when it exits with 0 within the timeout.

No shell: the command is a list. It knows whom to ask from BALANCE_BACKEND_NAME, _ADDRESS, _HOST and _PORT, or _PATH. At
the timeout it is killed with all that it started in its process group; of what it says, the first line is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process

from balance.aio import spawn
from balance.config.model import BackendConfig, HealthCheck
from balance.probes.dial import target
from balance.probes.result import Result, seconds

LIMIT_BYTES = 4096
LINE_CHARS = 200
LAST_WORDS_S = 0.1  # for output that is on its way when the program ends


def environment(check: HealthCheck, backend: BackendConfig) -> dict[str, str]:
    """Ours, and whom the question is about."""
    address = target(check, backend.address)
    about = {"NAME": backend.name, "ADDRESS": str(address)}
    about |= {"PATH": address.path} if address.is_unix else {"HOST": address.host, "PORT": str(address.port)}
    return dict(os.environ) | {f"BALANCE_BACKEND_{key}": value for key, value in about.items()}


async def probe(check: HealthCheck, backend: BackendConfig) -> Result:
    """Good when the command exits with 0. Any other status is an explicit no."""
    started = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec(
            *check.command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment(check, backend),
            start_new_session=True,
            preexec_fn=_obey_signals,
        )
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        return Result(False, f"cannot run {check.command[0]!r}: {reason.lower()}", time.monotonic() - started)
    said = bytearray()
    reading = spawn(_listen(process, said), "output of a check")
    try:
        async with asyncio.timeout(check.timeout_s):
            status = await process.wait()
        await asyncio.wait([reading], timeout=LAST_WORDS_S)  # what it left running may hold its output open for ever
    except TimeoutError:
        return Result(False, f"no answer within {seconds(check.timeout_s)}; killed", time.monotonic() - started)
    finally:
        reading.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            spawn(_bury(process), "end of a check")
    line = said.decode("utf-8", "replace").strip().partition("\n")[0][:LINE_CHARS]
    words = "exit status 0" if status == 0 else f"exit status {status}" if status > 0 else f"killed by signal {-status}"
    return Result(status == 0, f"{words}: {line}" if line else words, time.monotonic() - started, status > 0)


async def _listen(process: Process, said: bytearray) -> None:
    """Keep the beginning of what it says; take the rest, so that it is not stopped by a full pipe."""
    assert process.stdout is not None
    while data := await process.stdout.read(LIMIT_BYTES):
        said += data[: LIMIT_BYTES - len(said)]


async def _bury(process: Process) -> None:
    await process.wait()


def _obey_signals() -> None:
    """In the child: control ignores what a terminal sends to everybody, and an ignored signal would be inherited."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
