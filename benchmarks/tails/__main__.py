"""`python3 benchmarks/tails`: how long the slowest requests take at half load, in peace and with all that goes on in operation.

Each peer is asked at half of what it managed in a closed loop just before, and all at half of what the slowest managed. The
load is an open loop (`balance latency-test --rate`): a request's time begins when it was planned, so a stall counts for all
that fell into it, and none is left out (no coordinated omission). In the rows "busy" the peer is scraped each second, reloads
every few seconds, and checks its backend each second; nginx has no such checks. The proxy has one core, the load and the origin
another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "tails")]

from disturbed import Disturbances, DisturbedPeer
from wire import load
from wire.child import Child, ChildFailedError, free_port
from wire.findings.facts import facts
from wire.findings.report import table
from wire.findings.sections import replaced, section
from wire.order import name_and_python, positive, some_of, two_cores
from wire.origin import Origin
from wire.peers import PEERS, USUAL
from wire.peers.balance import Balance, interpreter
from wire.peers.installed import installed
from wire.peers.peer import Mode, Peer, Site
from wire.scenarios import HEADERS, SCENARIOS

ROW = SCENARIOS["http-keepalive"]
CONNECTIONS = 32
READY = b"GET /1k HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
READY_S = 15.0
CAPACITY_S = 2
PERCENTILES = ("p50", "p99", "p99.9", "max")
NAME = "tails"  # of its section
TITLE = "## Tails at half load"


@dataclass(frozen=True, slots=True)
class Running:
    peer: DisturbedPeer
    site: Site
    child: Child


@dataclass(frozen=True, slots=True)
class Tail:
    """One run of one peer. Latencies in µs, by the names of PERCENTILES."""

    peer: str
    load: str  # whose capacity the rate is half of: "own", "slowest"
    state: str  # "peace", "busy"
    asked_per_s: float
    answered_per_s: float
    latencies_us: dict[str, float]
    errors: int
    never_sent: int  # planned, but all connections waited for replies
    scrapes: int
    failed_scrapes: int
    reloads: int
    tool_busy: float  # of the core of the load, by the tool alone; near 1 the figures are the tool's


def main() -> int:
    given = parsed()
    if reason := load.missing():
        print(f"benchmarks/tails: {reason}", file=sys.stderr)
        return 2
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    descriptors = 65536 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    peers: list[Peer] = [PEERS[name] for name in given.peers]
    ours = [peer for peer in peers if isinstance(peer, Balance)]
    peers += [installed(name, python, peer) for name, python in given.installed for peer in ours]
    usable = sorted(os.sched_getaffinity(0))
    proxy_core, load_core = given.cores or (usable[0], usable[-1])
    about = facts(peers, given.rounds, given.seconds, proxy_core, load_core)
    about[-1] = about[-1].replace("benchmarks/wire", "benchmarks/tails")
    found: list[Tail] = []
    capacities: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tails-")))
        os.sched_setaffinity(0, {load_core})
        origin = Origin(folder, load_core, descriptors)
        stack.callback(origin.child.stop)
        origin.wait()
        running = [each for peer in peers if (each := stack.enter_context(started(peer, origin, folder, proxy_core)))]
        for each in running:
            capacities[each.peer.name] = capacity(each, load_core, folder)
        if not running:
            print("benchmarks/tails: no peer can run here", file=sys.stderr)
            return 2
        slowest = min(capacities.values())
        for number in range(given.rounds):
            for each in running[number % len(running) :] + running[: number % len(running)]:
                own = capacities[each.peer.name]
                for whose, rate in (("own", own / 2), ("slowest", slowest / 2)):
                    if whose == "own" or own > slowest:
                        for state in ("peace", "busy"):
                            found.append(measured(each, whose, rate, state, given.seconds, given.reload_every))
                            print(f"round {number + 1}: {said(found[-1])}", file=sys.stderr, flush=True)
    text = page(found, capacities, about, given.reload_every)
    print(text)
    if given.json:
        given.json.write_text(json.dumps({"facts": about, "capacities": capacities, "tails": [asdict(each) for each in found]}))
    if given.write:
        results = ROOT / "benchmarks" / "RESULTS.md"
        results.write_text(placed(text, results.read_text()))
    return 0 if found else 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/tails", description=__doc__.partition("\n\n")[0])
    add = parser.add_argument
    add("--peers", type=some_of(PEERS), default=list(USUAL), help=f"of {', '.join(PEERS)} (usual: {', '.join(USUAL)})")
    add("--installed", type=name_and_python, action="append", default=[], metavar="NAME=PYTHON",
        help="one more Balance, that is installed for this interpreter, as in compiled=../compiled/bin/python")  # fmt: skip
    add("--rounds", type=positive, default=3, help="every peer once per round (3)")
    add("--seconds", type=positive, default=20, help="of each run (20)")
    add("--reload-every", type=positive, default=5, metavar="SECONDS", help="between two reloads (5)")
    add("--cores", type=two_cores, help="core of the proxy, core of the load and the origin (the first and the last)")
    add("--json", type=Path, metavar="FILE", help="every run, for machines")
    add("--write", action="store_true", help="replace the section of tails in benchmarks/RESULTS.md")
    return parser.parse_args()


@contextlib.contextmanager
def started(peer: Peer, origin: Origin, folder: Path, core: int) -> Iterator[Running | None]:
    """None, and a line that says why, where it can't run here."""
    disturbed = DisturbedPeer(peer)
    if reason := disturbed.missing():
        print(f"{peer.name}: skipped: {reason}", file=sys.stderr)
        yield None
        return
    own = folder / peer.name
    own.mkdir()
    site = Site(own, Mode.HTTP, free_port(), free_port(), origin.port, 16384)
    child = Child(peer.name, disturbed.command(site), own, core)
    try:
        child.wait_until_answers(site.port, READY, READY_S)
        yield Running(disturbed, site, child)
    except ChildFailedError as error:
        print(error, file=sys.stderr)
        yield None
    finally:
        child.stop()


def capacity(each: Running, core: int, folder: Path) -> float:
    """Requests a second in a closed loop."""
    load.run(ROW, each.site.port, 1, core, folder)  # warm
    figures = load.run(ROW, each.site.port, CAPACITY_S, core, folder)
    return figures.requests / figures.elapsed_s


def measured(each: Running, whose: str, rate: float, state: str, seconds: int, reload_every: int) -> Tail:
    disturbances = Disturbances(each.peer, each.site, each.child, reload_every)
    with disturbances if state == "busy" else contextlib.nullcontext():
        document = latency_test(each.site.port, rate, seconds)
    latencies = document["latency_ns"]
    return Tail(
        each.peer.name,
        whose,
        state,
        rate,
        document["requests_per_s"],
        {name: latencies[name] / 1000 for name in PERCENTILES},
        sum(document["errors"].values()),
        document["never_sent"],
        disturbances.scrapes,
        disturbances.failed_scrapes,
        disturbances.reloads,
        document["tool"]["busiest"],
    )


def latency_test(port: int, rate: float, seconds: int) -> dict[str, Any]:
    """Its JSON. Status 1 says that not all was answered, or not at the rate; the document says how much."""
    command = [interpreter(), "-m", "balance", "latency-test", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--warmup", "1s"]
    command += ["--rate", f"{rate:.0f}", "--processes", "1", "--json"]
    for name, value in HEADERS:
        command += ["-H", f"{name}: {value}"]
    ended = subprocess.run([*command, f"http://127.0.0.1:{port}/1k"], cwd=ROOT, capture_output=True, text=True, check=False)
    if not ended.stdout.startswith("{"):
        raise SystemExit(f"latency-test: {ended.stderr.strip()}")
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def said(tail: Tail) -> str:
    figures = ", ".join(f"{name} {tail.latencies_us[name]:,.0f}" for name in PERCENTILES)
    failed = f"{tail.errors} errors, {tail.never_sent} never sent"
    return f"{tail.peer} at {tail.asked_per_s:,.0f}/s in {tail.state}: {figures} µs; {failed}"


def page(found: list[Tail], capacities: dict[str, float], about: list[str], reload_every: int) -> str:
    """The section, with medians over the rounds, and of the longest the longest."""
    kinds = dict.fromkeys((each.load, each.state, each.peer) for each in found)
    rows = []
    for whose, state, peer in sorted(kinds, key=lambda kind: (kind[0] != "own", kind[1] != "peace")):
        runs = [each for each in found if (each.load, each.state, each.peer) == (whose, state, peer)]
        figures = [statistics.median(run.latencies_us[name] for run in runs) for name in PERCENTILES[:-1]]
        longest = max(run.latencies_us["max"] for run in runs)
        rows.append([
            f"half of {'its own' if whose == 'own' else 'the slowest'}",
            state,
            peer,
            f"{statistics.median(run.asked_per_s for run in runs):,.0f}",
            f"{statistics.median(run.answered_per_s for run in runs):,.0f}",
            *(f"{figure:,.0f}" for figure in (*figures, longest)),
            f"{sum(run.errors for run in runs):,}",
f"{sum(run.never_sent for run in runs):,}",
            f"{statistics.median(run.tool_busy for run in runs):.0%}",
        ])  # fmt: skip
    head = [
        "rate",
        "state",
        "peer",
        "asked/s",
        "answered/s",
        *(f"{name} µs" for name in PERCENTILES),
        "errors",
        "never sent",
        "tool busy",
    ]
    managed = ", ".join(f"{name} {per_s:,.0f}" for name, per_s in capacities.items())
    scrapes = sum(each.failed_scrapes for each in found)
    notes = [
        f"Capacity in a closed loop of {CONNECTIONS} connections, requests/s: {managed}.",
        f"Busy: a scrape each second ({scrapes} failed), a reload that changes a weight every {reload_every} s, checks each "
        "second (none in nginx). Medians over the rounds; of the longest the longest. Latency begins when a request was "
        "planned. An error is a request without a reply, such as one on a connection that a reload closed.",
    ]
    return "\n\n".join(["\n".join(f"- {fact}" for fact in about), *notes, table(head, rows, words=3)]) + "\n"


def placed(text: str, existing: str) -> str:
    """The page with this section between its markers, or before what the figures say when it has none yet."""
    if page_of_now := replaced(existing, NAME, text):
        return page_of_now
    at = existing.find("## What the figures say")
    at = len(existing) if at < 0 else at
    return f"{existing[:at].rstrip()}\n\n{TITLE}\n\n{section(NAME, text)}\n\n{existing[at:]}".rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
