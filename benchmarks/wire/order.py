"""The command line's options, validated before anything is started."""

import argparse
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wire.peers import PEERS, USUAL
from wire.peers.against import Against
from wire.peers.balance import Balance
from wire.peers.installed import installed
from wire.peers.peer import Peer
from wire.scenarios import SCENARIOS, Scenario

DESCRIPTION = "What a request costs through Balance, nginx and HAProxy: same load, same core, same minute."
EXAMPLES = """\
examples:
  python3 benchmarks/wire --seconds 1 --rounds 1                    a first look, in two minutes
  python3 benchmarks/wire --scenarios http-keepalive --rounds 9     one row, well
  python3 benchmarks/wire --installed compiled=../compiled/bin/python
  python3 benchmarks/wire --against 'env -C ../before .venv/bin/python -m balance serve --config {config}'
"""
LEAST_S, MOST_S = 0.2, 3600.0  # of load: below, connecting is too much of it


@dataclass(frozen=True, slots=True)
class Order:
    peers: list[Peer]
    scenarios: list[Scenario]
    rounds: int
    http2_rounds: int
    seconds: float
    proxy_core: int
    load_core: int
    json_to: Path | None
    write: bool


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not LEAST_S <= seconds <= MOST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {LEAST_S:g} to {MOST_S:g}")
    return seconds


def some_of(allowed: Iterable[str]) -> Callable[[str], list[str]]:
    known = list(allowed)

    def chosen(text: str) -> list[str]:
        found = [word.strip() for word in text.split(",")]
        for word in found:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(known)}")
        return list(dict.fromkeys(found))

    return chosen


def name_and_python(text: str) -> tuple[str, str]:
    name, _, python = text.partition("=")
    if not name.isidentifier() or name in PEERS or shutil.which(python) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a new name and an interpreter, as in compiled=.venv/bin/python")
    return name, python


def two_cores(text: str) -> tuple[int, int]:
    usable = sorted(os.sched_getaffinity(0))
    words = text.split(",")
    if len(words) != 2 or words[0] == words[1] or not all(w.isdecimal() and int(w) in usable for w in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not two different cores out of {usable}, as in 0,1")
    return int(words[0]), int(words[1])


def read(arguments: list[str] | None = None) -> Order:
    parser = argparse.ArgumentParser(
        prog="benchmarks/wire",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--peers", type=some_of(PEERS), default=list(USUAL), help=f"of {', '.join(PEERS)} (usual: {', '.join(USUAL)})")
    add("--scenarios", type=some_of(SCENARIOS), default=list(SCENARIOS), help=f"of {', '.join(SCENARIOS)} (all)")
    add("--rounds", type=positive, default=5, help="every peer once per round (5)")
    add("--http2-rounds", type=positive, metavar="ROUNDS", help="of the rows over HTTP/2, each with its twin (as --rounds)")
    add("--seconds", type=duration, default=5, help="of load per peer and round (5)")
    add("--cores", type=two_cores, help="core of the proxy, core of the load and the origin (the first two)")
    add("--against", metavar="COMMAND", help="one more proxy; {config} {port} {admin} {origin} {mode} are filled in")
    add(
        "--installed",
        type=name_and_python,
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help="beside each Balance the one that is installed for this interpreter",
    )
    add("--json", type=Path, metavar="FILE", help="every sample, for machines")
    add("--write", action="store_true", help="replace the wire section of benchmarks/RESULTS.md, and results.json")
    given = parser.parse_args(arguments)
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        parser.error(f"one core ({usable}) is not enough: the load would take its time from the proxy")
    peers = [PEERS[name] for name in given.peers]
    ours = [peer for peer in peers if isinstance(peer, Balance)]
    peers += [installed(name, python, peer) for name, python in given.installed for peer in ours]
    if given.against is not None:
        peers.append(Against(given.against))
    proxy_core, load_core = given.cores or (usable[0], usable[1])
    scenarios = [SCENARIOS[name] for name in given.scenarios]
    return Order(
        peers,
        scenarios,
        given.rounds,
        given.http2_rounds or given.rounds,
        given.seconds,
        proxy_core,
        load_core,
        given.json,
        given.write,
    )
