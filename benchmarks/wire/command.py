"""Runs the benchmark: checks tools, measures the rows in order, writes the result, cleans up."""

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from wire import load
from wire.certificate import make_certificate
from wire.child import ChildFailedError
from wire.findings.compare import Findings
from wire.findings.facts import facts
from wire.findings.pictures import pictures
from wire.findings.report import PICTURES, page, placed
from wire.http2 import generator, grpc_origin
from wire.idle import Weight, weigh
from wire.order import Order, read
from wire.origin import Origin
from wire.rounds import Sample, play
from wire.running_peers import Remarks, Stage, running_peers
from wire.scenarios import Question, Scenario

BENCHMARKS = Path(__file__).parents[1]
FASTEST_FOLDER = Path("/dev/shm")  # the 10 MB file is read from memory, as a busy server would have it
INTERRUPTED = 130


def main() -> int:
    order = read()
    if reason := load.missing() or (None if shutil.which("nginx") else "nginx (the origin) is not installed"):
        print(f"benchmarks/wire: {reason}", file=sys.stderr)
        return 2
    # A shell that starts this in the background has SIGINT ignored: both signals must reach the clean-up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _run(order)
    except KeyboardInterrupt:
        print("benchmarks/wire: interrupted; everything it started is stopped", file=sys.stderr)
        return INTERRUPTED
    except (ChildFailedError, OSError) as error:
        print(f"benchmarks/wire: {error}", file=sys.stderr)
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the clean-up is bounded in time and must not be cut short
    raise KeyboardInterrupt


def _run(order: Order) -> int:
    remarks = Remarks()
    about = facts(order.peers, order.rounds, order.seconds, order.proxy_core, order.load_core)
    with contextlib.ExitStack() as stack:
        stage = _stage(order, stack)
        samples: list[Sample] = []
        weights: list[Weight] = []
        for row in order.scenarios:
            found, weighed = _play(row, order, stage, remarks)
            samples += found
            weights += weighed
    findings = Findings(tuple(samples), tuple(weights))
    text = page(findings, about, remarks)
    print(text)
    return _keep(order, findings, about, remarks, text)


def _stage(order: Order, stack: contextlib.ExitStack) -> Stage:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))  # inherited by every proxy
    os.sched_setaffinity(0, {order.load_core})
    parent = FASTEST_FOLDER if os.access(FASTEST_FOLDER, os.W_OK) else None
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wire-", dir=parent)))
    origin = Origin(folder, order.load_core, wanted)
    stack.callback(origin.child.stop)
    origin.wait()
    return Stage(folder, order.proxy_core, order.load_core, wanted, origin, make_certificate(folder))


def _play(row: Scenario, order: Order, stage: Stage, remarks: Remarks) -> tuple[list[Sample], list[Weight]]:
    direct = row.question is Question.LATENCY
    if reason := generator.missing(row) or (grpc_origin.missing() if row.grpc else None):
        remarks.skipped.append(f"{row.name}: {reason}")
        return [], []
    try:
        with running_peers(order.peers, row, stage, remarks, direct=direct) as ways:
            if not ways:
                return [], []
            if row.question is Question.MEMORY:
                return [], [weigh(row, way, order.seconds, stage) for way in ways]
            rounds = order.http2_rounds if row.http2 else order.rounds
            return play(row, ways, rounds, order.seconds, stage, remarks), []
    except (load.LoadFailedError, OSError) as error:
        remarks.failed.append(f"{row.name}: the whole row is lost: {error}")
        return [], []


def _keep(order: Order, findings: Findings, about: list[str], remarks: Remarks, text: str) -> int:
    clean = not remarks.failed and not findings.invalid()
    document = {
        "facts": about,
        "skipped": remarks.skipped,
        "repeated": remarks.repeated,
        "failed": remarks.failed,
        "samples": [sample.as_json() for sample in findings.samples],
        "memory": [weight.as_json() for weight in findings.weights],
    }
    written = json.dumps(document, indent=1) + "\n"
    if order.json_to:
        order.json_to.write_text(written)
    if not clean:
        print("benchmarks/wire: not a clean run; what failed:", file=sys.stderr)
        for line in (*remarks.failed, *findings.invalid()):
            print(f"  {line}", file=sys.stderr)
    if order.write:  # what failed is named at the top, and has no figure
        results = BENCHMARKS / "RESULTS.md"
        results.write_text(placed(text, results.read_text() if results.exists() else "# Results\n"))
        (BENCHMARKS / "results.json").write_text(written)
        (BENCHMARKS / PICTURES).mkdir(exist_ok=True)
        for name, picture in pictures(findings).items():
            (BENCHMARKS / PICTURES / name).write_text(picture)
    return 0 if clean else 1
