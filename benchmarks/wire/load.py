"""The load generator: one wrk on its own CPU. Any failed reply invalidates the result."""

import math
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wire.scenarios import Scenario, request_head

GRACE_S = 20.0
REPLY_TIMEOUT_S = 10

# wrk's own text rounds; its summary does not.
REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    "\\nWIRE requests=%d us=%d bytes=%d connect=%d read=%d write=%d status=%d timeout=%d p50=%d p99=%d mean=%.2f\\n",
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency.mean))
end
"""

# With wrk.format replaced and no request() wrk sends one prepared buffer: exactly these bytes, every time.
SAME = """
local head = {head}
wrk.format = function() return head end
"""
BODY = ' .. string.rep("x", {size})'

# The start is drawn per run, so that a later run does not repeat an earlier one's heads either.
UNIQUE = """
math.randomseed(os.time() + math.floor(os.clock() * 1e6))
local n = math.random(1, 2 ^ 30) * 1024
request = function()
  n = n + 1
  return string.format({head}, n, n, n)
end
"""


class LoadFailedError(Exception):
    """wrk did not run to its end."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What wrk counted. `failures` names each kind of failure that happened at all."""

    requests: int
    elapsed_s: float
    read_bytes: int
    failures: dict[str, int]
    p50_us: float
    p99_us: float
    mean_us: float


def lua_string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n") + '"'


def script(row: Scenario) -> str:
    if not row.unique:
        head = lua_string(request_head(row)) + (BODY.format(size=row.sent_bytes) if row.sent_bytes else "")
        return SAME.format(head=head) + REPORT
    # Everything but the three counters is literal, so its percent signs are doubled for string.format.
    head = request_head(row, "?n=\x00d", (("X-Request-Trace", "\x00016x\x00016x"),))
    head = head.replace("%", "%%").replace("\x00", "%")
    return UNIQUE.format(head=lua_string(head)) + REPORT


def parse(output: str) -> Figures:
    for line in output.splitlines():
        if line.startswith("WIRE "):
            value = dict(pair.split("=") for pair in line.split()[1:])
            kinds = ("connect", "read", "write", "status", "timeout")
            return Figures(
                requests=int(value["requests"]),
                elapsed_s=int(value["us"]) / 1e6,
                read_bytes=int(value["bytes"]),
                failures={kind: int(value[kind]) for kind in kinds if int(value[kind])},
                p50_us=float(value["p50"]),
                p99_us=float(value["p99"]),
                mean_us=float(value["mean"]),
            )
    raise LoadFailedError(f"wrk printed no figures:\n{output[-2000:]}")


def missing() -> str | None:
    return None if shutil.which("wrk") else "wrk is not installed: apt-get install wrk"


def version() -> str:
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).partition("[")[0].removeprefix("wrk").strip()


def run(row: Scenario, port: int, seconds: float, core: int, folder: Path) -> Figures:
    path = folder / f"{row.name}.lua"
    path.write_text(script(row))
    command = ["wrk", "-t1", f"-c{row.connections}", f"-d{math.ceil(seconds)}s", f"--timeout={REPLY_TIMEOUT_S}s"]
    command += ["-s", str(path), f"{'https' if row.tls else 'http'}://127.0.0.1:{port}{row.path}"]
    return parse(output_of(command, seconds, core, interrupt=seconds != math.ceil(seconds)))


def output_of(command: list[str], seconds: float, core: int, *, interrupt: bool = False) -> str:
    """What a load prints, pinned to `core`. With `interrupt` it is told to end after `seconds`: wrk, which knows whole ones
    alone, then sums up as it does at its own end.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),
    )
    try:
        if interrupt:
            try:
                return process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
        return process.communicate(timeout=seconds + GRACE_S)[0]
    except subprocess.TimeoutExpired:
        raise LoadFailedError(f"{command[0]} did not end within {seconds + GRACE_S:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
