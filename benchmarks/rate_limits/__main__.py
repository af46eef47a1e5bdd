"""`python3 benchmarks/rate_limits`: what a rate limit costs a request, in nanoseconds, or in instructions (`--instructions`).

Times are the minimum of many short runs. Instructions are user instructions under callgrind, which are the same on a busy
machine; on the one of RESULTS.md 9,400 are a microsecond. Run it with the interpreter that runs Balance.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(ROOT), str(ROOT / "benchmarks")]  # the checkout's own package, whatever is installed

CHILD = "--child"
if CHILD in sys.argv:
    from instructions import clock  # noqa: F401  # before whatever takes its clock from `time`

from time import monotonic

from scripted.bytes_sent import GET, REPLY
from scripted.site import ONE_ROUTE, Site

from balance.config.common_model import RateLimit
from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig
from balance.http1.head import RequestFields
from balance.rate_limiting.bucket_table import CELL_BYTES, BucketTable, table_cells
from balance.rate_limiting.limiter import Limiter
from balance.rate_limiting.moved_keys import MovedKeys
from balance.rate_limiting.sliding_window import SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket
from balance.stages.environment import StageEnvironment
from balance.stages.rate_limits.rate_limit_stage import rate_limit_stage
from balance.stages.request_context import RequestContext

Case = tuple[str, Callable[[], object]]
RUN_S = 0.005  # short enough that some runs are left in peace on a machine that has other work
TIMES = 200
MOST = 1_000_000  # requests a second: nobody is refused
KEYS = (("client-ip",), ("header:X-Api-Version",), ("cookie:theme",), ("path",), ("route",), ("client-ip", "path"))
_LIMITED = "    - {name: all, host: www.example.com, pool: default, rate_limit: {enabled: true, %s}}"
_BUCKET = f"requests_per_second: {MOST}"


def all_cases() -> Iterator[Case]:
    yield from limiters()
    yield from stages()
    yield from whole_requests()


def limiters() -> Iterator[Case]:
    """The verdict alone, for a key that the worker has met lately and other workers, too."""
    for workers in (1, 2, 8):
        memory, rows = memoryview(bytearray(CELL_BYTES * table_cells(workers))), memoryview(bytes([workers]))
        tables = [BucketTable(memory, rows, own, b"secret") for own in range(workers)]
        kinds: tuple[tuple[str, Callable[[BucketTable], Limiter]], ...] = (
            ("token bucket", lambda table: TokenBucket(table, "a", float(MOST), MOST, monotonic)),
            ("sliding window", lambda table: SlidingWindow(table, "a", 1000 * MOST, 60.0, monotonic)),
            ("token bucket, refused", lambda table: TokenBucket(table, "b", 0.0001, 1, monotonic)),
            ("sliding window, refused", lambda table: SlidingWindow(table, "b", 1, 86_400.0, monotonic)),
        )
        for kind, make in kinds:
            made = [make(table) for table in tables]
            for limiter in made:
                limiter.admit(b"\xc0\x00\x02\x01")
            yield f"{kind}, {workers} workers", lambda limiter=made[0]: limiter.admit(b"\xc0\x00\x02\x01")


def stages() -> Iterator[Case]:
    """The stage of a route, with one worker: the key, the verdict and, where that is said, the fields of the reply."""
    for key in KEYS:
        yield f"stage by {' and '.join(key)}", stage(RateLimit(True, "token-bucket", key, MOST, headers=False))
    listed = RateLimit(True, "token-bucket", requests_per_second=MOST, headers=False, allowlist=("10.0.0.0/8",))
    yield "stage by client-ip, with an allow list", stage(listed)
    yield "stage by client-ip, with fields", stage(RateLimit(True, "token-bucket", requests_per_second=MOST))
    moved = MovedKeys()
    shared = RateLimit(True, "token-bucket", requests_per_second=MOST, headers=False, scope="redis")
    yield "stage by client-ip, scope redis", stage(shared, moved)


def stage(config: RateLimit, moved: MovedKeys | None = None) -> Callable[[], object]:
    table = BucketTable.of_one_worker()
    environment = StageEnvironment("main", HttpConfig(), (), lambda: 0.0, clock=monotonic, buckets=lambda: table, moved=moved)
    made = rate_limit_stage(RouteConfig("r", pool="default", rate_limit=config), environment)
    context = RequestContext()
    context.fields = RequestFields()
    context.fields.forward = context.forward = GET.partition(b"\r\n")[2]
    context.client, context.route = "192.0.2.1", "r"
    context.target = context.path = b"/products/list"
    assert made is not None

    def once() -> None:
        context.reply_lines = b""
        assert made.on_request(context) is None

    return once


def whole_requests() -> Iterator[Case]:
    """GET, 1 KB of reply, kept connections, a route by host: without a limit and with one."""
    yield "a whole request, no limit", request("")
    yield "a whole request, a limit without fields", request(f"headers: false, {_BUCKET}")
    yield "a whole request, a limit with fields", request(_BUCKET)


def request(limit: str) -> Callable[[], object]:
    head, _, _ = ONE_ROUTE.partition("    - {")
    site = Site(head + _LIMITED % limit + "\n" if limit else ONE_ROUTE)
    settings, _, upstream = site.http()
    client, here = site.client(settings)

    def once() -> None:
        client.data_received(GET)
        upstream.data_received(REPLY)

    for number in range(1, 100):
        once()
        assert here.writes == number
    return once


def measure(call: Callable[[], object], seconds: float) -> float:
    """Nanoseconds a call: the best of many short runs that together take about `seconds`."""
    timer = timeit.Timer(call)
    number = 1
    while (taken := timer.timeit(number)) < RUN_S / 2:
        number *= 2
    repeats = max(3, int(seconds / max(taken, RUN_S / 2)))
    return min(timer.repeat(repeats, number)) / number * 1e9


def count(only: str) -> Iterator[tuple[str, int]]:
    """The instructions of a call, less those of the loop around it."""
    with tempfile.TemporaryDirectory(prefix="balance-instructions-") as folder:
        tool = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        run = subprocess.run(
            [*tool, sys.executable, __file__, CHILD, "--only", only],
            cwd=folder, env=dict(os.environ, PYTHONHASHSEED="0"), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode:
            sys.exit(run.stdout + run.stderr)
        for number, name in enumerate(run.stdout.splitlines()):
            once, twice = (summary(Path(folder, f"out.{2 * number + part}")) for part in (1, 2))
            yield name, (twice - once) // TIMES


def summary(file: Path) -> int:
    found = re.search(r"^summary: ([0-9]+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def counted(only: str) -> None:
    """What valgrind runs: each case N times and 2 N times."""
    from instructions.client_requests import Callgrind

    callgrind = Callgrind()
    started = False
    for name, call in all_cases():
        if only not in name:
            continue
        for _ in range(TIMES):
            call()
        gc.collect()
        gc.disable()
        if not started:
            callgrind.start()
            started = True
        for _ in range(TIMES):
            call()
        callgrind.zero()
        for _ in range(TIMES):
            call()
        callgrind.dump()
        for _ in range(2 * TIMES):
            call()
        callgrind.dump()
        print(name, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each row (default 0.3)")
    parser.add_argument("--instructions", action="store_true", help="count them with valgrind, instead of nanoseconds")
    parser.add_argument(CHILD, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return counted(options.only)
    if options.instructions:
        print("| what | instructions |\n| --- | ---: |")
        for name, instructions in count(options.only):
            print(f"| {name} | {instructions:,} |")
        return None
    print("| what | ns |\n| --- | ---: |")
    for name, call in all_cases():
        if options.only in name:
            print(f"| {name} | {measure(call, options.seconds):,.0f} |", flush=True)
    return None


if __name__ == "__main__":
    main()
