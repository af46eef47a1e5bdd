"""`python3 benchmarks/tools`: latency-test beside wrk on the same servers. Do they agree, and what does each cost?

The servers are nginx alone, and Balance before that nginx, on one core; the tool is on another, with nginx where that is behind
Balance. Tools take turns within a round; ratios are taken within rounds, then their median. `kept` are 32 kept connections,
`each` is a connection for each request.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "tools")]

from wire import load, procfs
from wire.child import Child, free_port
from wire.findings.report import table
from wire.findings.sections import replaced
from wire.origin import Origin
from wire.peers.balance import Balance, interpreter
from wire.peers.peer import Mode, Site

NAME = "tools"  # of its section
DESCRIPTORS = 8192
CONNECTIONS = 32
PERCENTILES = ("p50", "p90", "p99", "p99.9")
WRK_REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("\\nTOOL %d %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9)))
end
"""


class Figures(NamedTuple):
    """What a tool said, and what its run cost."""

    per_s: float
    errors: int
    latencies_us: dict[str, float]
    tool_us: float  # CPU a request, of the tool
    server_us: float  # and of the server


class Said(NamedTuple):
    requests: int
    per_s: float
    errors: int
    latencies_us: dict[str, float]
    cpu_s: float


def wrk(port: int, seconds: int, is_kept: bool, core: int, folder: Path) -> Said:
    script = folder / "report.lua"
    script.write_text(WRK_REPORT)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    command += [] if is_kept else ["-H", "Connection: close"]
    output, cpu_s = ran([*command, f"http://127.0.0.1:{port}/1k"], core)
    words = next(line for line in output.splitlines() if line.startswith("TOOL ")).split()[1:]
    requests, us, errors, *latencies = map(int, words)
    return Said(requests, requests / us * 1e6, errors, dict(zip(PERCENTILES, map(float, latencies), strict=True)), cpu_s)


def latency_test(port: int, seconds: int, is_kept: bool, core: int, folder: Path) -> Said:
    command = [interpreter(), "-m", "balance", "latency-test", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--warmup", "0"]
    command += ["--processes", "1", "--json", *([] if is_kept else ["--no-keepalive"])]
    output, _ = ran([*command, f"http://127.0.0.1:{port}/1k"], core)
    document = json.loads(output)
    latencies = {name: document["latency_ns"][name] / 1000 for name in PERCENTILES}
    own = document["tool"]  # the interpreter's start is not in it: half a second that says nothing of a request
    cpu_s = own["cpu_user_s"] + own["cpu_system_s"]
    return Said(document["requests"], document["requests_per_s"], sum(document["errors"].values()), latencies, cpu_s)


Tool = Callable[[int, int, bool, int, Path], Said]
TOOLS: dict[str, Tool] = {"wrk": wrk, "latency-test": latency_test}


def ran(command: list[str], core: int) -> tuple[str, float]:
    """Its output, and the seconds of CPU that it and its children took."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, stdout=output, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )  # fmt: skip
        _, _, used = os.wait4(process.pid, 0)
        output.seek(0)
        return output.read(), used.ru_utime + used.ru_stime


@contextmanager
def balance_before(origin: Origin, folder: Path, core: int) -> Iterator[tuple[int, Child]]:
    port = free_port()
    child = Child(
        "balance", Balance().command(Site(folder, Mode.HTTP, port, free_port(), origin.port, DESCRIPTORS, False)), folder, core
    )
    try:
        child.wait_until_answers(port, b"GET /1k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 15)
        yield port, child
    finally:
        child.stop()


def measured(tool: Tool, port: int, child: Child, seconds: int, is_kept: bool, core: int, folder: Path) -> Figures:
    pids = procfs.tree(child.process.pid)
    before = procfs.clocks(pids)
    said = tool(port, seconds, is_kept, core, folder)
    spent_ns = procfs.spent(before, procfs.clocks(pids)).total_ns
    each = max(said.requests, 1)
    return Figures(said.per_s, said.errors, said.latencies_us, said.cpu_s / each * 1e6, spent_ns / each / 1000)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks/tools", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=4, help="of each run (4)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    parser.add_argument("--json", metavar="FILE", help="keep the figures")
    parser.add_argument("--write", action="store_true", help="replace the section of tools in benchmarks/RESULTS.md")
    given = parser.parse_args()
    if reason := load.missing():
        print(reason, file=sys.stderr)
        return 2
    cores = sorted(os.sched_getaffinity(0))
    server_core, tool_core = cores[0], cores[-1]
    found: dict[tuple[str, str], dict[str, list[Figures]]] = {}
    with tempfile.TemporaryDirectory(prefix="balance-tools-") as name:
        folder = Path(name)
        near, far = Origin(folder, server_core, DESCRIPTORS), None
        try:
            near.wait()
            (folder / "far").mkdir()
            far = Origin(folder / "far", tool_core, DESCRIPTORS)
            far.wait()
            with balance_before(far, folder, server_core) as (port, child):
                servers = {"nginx": (near.port, near.child), "balance": (port, child)}
                for number in range(given.rounds):
                    for server, (its_port, its_child) in servers.items():
                        for way, is_kept in (("kept", True), ("each", False)):
                            for tool in [*TOOLS][:: 1 if number % 2 == 0 else -1]:
                                figures = measured(TOOLS[tool], its_port, its_child, given.seconds, is_kept, tool_core, folder)
                                found.setdefault((server, way), {}).setdefault(tool, []).append(figures)
        finally:
            near.child.stop()
            if far is not None:
                far.child.stop()
    text = page(found, given.rounds, given.seconds)
    print(text)
    if given.write:
        results = ROOT / "benchmarks" / "RESULTS.md"
        written = replaced(results.read_text(), NAME, text)
        if written is None:
            raise SystemExit(f"benchmarks/tools: {results} has no section {NAME!r}")
        results.write_text(written)
    if given.json:
        kept = {f"{server} {way}": {tool: [each._asdict() for each in runs] for tool, runs in tools.items()}
                for (server, way), tools in found.items()}  # fmt: skip
        Path(given.json).write_text(json.dumps(kept, indent=1))
    return 1 if any(run.errors for tools in found.values() for runs in tools.values() for run in runs) else 0


def page(found: dict[tuple[str, str], dict[str, list[Figures]]], rounds: int, seconds: int) -> str:
    """The section: for each server and way both tools, and what latency-test's figures are of wrk's."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    load_now = os.getloadavg()[0]
    facts = (
        f"- {today}; balance {Balance().version()}; wrk {load.version()}\n"
        f"- {rounds} rounds of {seconds} s, {CONNECTIONS} connections, medians; load average at the end {load_now:.2f}\n"
        f"- `python3 {shlex.join(['benchmarks/tools', *sys.argv[1:]])}`"
    )
    rows = []
    for (server, way), tools in found.items():
        rows += [row(server, way, tool, runs) for tool, runs in tools.items()]
        rows.append([server, way, "÷", *ratios(tools), ""])
    figures = [*(f"{name} µs" for name in PERCENTILES), "CPU µs: tool", "server"]
    return f"{facts}\n\n{table(['server', 'connections', 'tool', 'requests/s', *figures, 'errors'], rows, words=3)}\n"


def numbers(run: Figures) -> list[float]:
    return [run.per_s, *(run.latencies_us[each] for each in PERCENTILES), run.tool_us, run.server_us]


def row(server: str, way: str, tool: str, runs: list[Figures]) -> list[str]:
    per_s, *rest = [statistics.median(each) for each in zip(*map(numbers, runs), strict=True)]
    cells = [f"{per_s:,.0f}", *(f"{each:,.0f}" for each in rest[:4]), *(f"{each:.1f}" for each in rest[4:])]
    return [server, way, tool, *cells, str(sum(run.errors for run in runs))]


def ratios(tools: dict[str, list[Figures]]) -> list[str]:
    """latency-test's to wrk's."""
    pairs = zip(tools["latency-test"], tools["wrk"], strict=True)
    by_round = [
        [ours / theirs if theirs else 0.0 for ours, theirs in zip(numbers(a), numbers(b), strict=True)] for a, b in pairs
    ]
    return [f"{statistics.median(each):.2f}" for each in zip(*by_round, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
