"""Driver `exec`: runs a command that makes it so many backends. It is told a number, so that it may be told it again.

{desired}, {current}, {pool} and {token} in its arguments are filled in, and BALANCE_DESIRED, BALANCE_CURRENT, BALANCE_POOL and
BALANCE_FENCING_TOKEN are in its environment. Without a shell. At the timeout its process group is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT

from balance.autoscaling.settings import AutoscalerConfig
from balance.background_tasks import spawn
from balance.probes.command import Output, obey_signals
from balance.probes.result import seconds
from balance.process.control.autoscaling.driver import Change, Driver, DriverError


class ExecDriver(Driver):
    """See the module."""

    def __init__(self, config: AutoscalerConfig, pool: str) -> None:
        self._config = config

    async def current(self, token: int) -> int | None:
        return None

    async def scale(self, change: Change) -> None:
        output = Output()
        try:
            status = await self._run(change, output)
        except TimeoutError:
            raise DriverError(f"the command did not end within {seconds(self._config.timeout_s)}, and was killed") from None
        except (OSError, ValueError) as error:
            words = (isinstance(error, OSError) and error.strerror) or str(error)
            raise DriverError(f"the command {self._config.command[0]!r} can't be run: {words.lower()}") from None
        finally:
            output.close()
        if status:
            how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
            line = "".join(letter if letter.isprintable() else "?" for letter in output.first_line)
            raise DriverError(f"the command failed, {how}" + (f": {line}" if line else ""))

    async def _run(self, change: Change, output: Output) -> int:
        values = {"desired": change.desired, "current": change.current, "pool": change.pool, "token": change.token}
        argv = list(self._config.command)
        for name, value in values.items():
            argv = [argument.replace(f"{{{name}}}", str(value)) for argument in argv]
        names = {"token": "FENCING_TOKEN"}
        environ = os.environ | {f"BALANCE_{names.get(name, name.upper())}": str(value) for name, value in values.items()}
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=DEVNULL,
                stdout=output.write_end,
                stderr=STDOUT,
                env=environ,
                start_new_session=True,
                preexec_fn=obey_signals,
            )
        finally:
            os.close(output.write_end)
        try:
            async with asyncio.timeout(self._config.timeout_s):
                return await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                spawn(process.wait(), "end of a command of an autoscaler")  # to leave no zombie
