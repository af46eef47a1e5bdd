"""The pure parts of the benchmark of tails: what it makes of each peer's configuration, and what it prints."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "tails"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from disturbed import DisturbedPeer
from wire.peers import PEERS
from wire.peers.peer import Mode, Site

from balance.config import load_file

TAILS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "tails" / "__main__.py"), run_name="tails")
Tail = TAILS["Tail"]


def site(folder: Path) -> Site:
    return Site(folder, Mode.HTTP, 8000, 9000, 7000, 1000)


def texts(name: str, folder: Path) -> list[str]:
    """The configurations of the start and of two reloads."""
    peer = DisturbedPeer(PEERS[name])
    command = peer.command(site(folder))
    found = []
    for number in range(3):
        peer.write(command, site(folder), number)
        found.append(peer.path(command).read_text())
    return found


@pytest.mark.parametrize("name", ["nginx", "haproxy", "balance"])
def test_each_reload_changes_the_weight_and_nothing_else(name: str, tmp_path: Path) -> None:
    if PEERS[name].missing(Mode.HTTP):
        pytest.skip(f"{name} is not installed")
    first, second, third = texts(name, tmp_path)
    assert first == third
    changed = [pair for pair in zip(first.splitlines(), second.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1
    assert "weight" in changed[0][1]


def test_balance_reads_its_own_and_checks_its_backend_each_second(tmp_path: Path) -> None:
    peer = DisturbedPeer(PEERS["balance"])
    config = load_file(peer.path(peer.command(site(tmp_path)))).config
    assert config.pools[0].health_check.interval_s == 1.0
    assert config.pools[0].health_check.timeout_s == 0.5


def test_medians_are_over_the_rounds_and_the_longest_is_the_longest() -> None:
    def tail(p99: float, longest: float, errors: int) -> object:
        latencies = {"p50": 100.0, "p99": p99, "p99.9": 900.0, "max": longest}
        return Tail("balance", "own", "busy", 5000.0, 4999.0, latencies, errors, 3, 10, 0, 2, 0.5)

    text = TAILS["page"]([tail(300, 1000, 0), tail(200, 5000, 2), tail(900, 2000, 0)], {"balance": 10_000.0}, ["here"], 5)
    assert "| half of its own | busy | balance | 5,000 | 4,999 | 100 | 300 | 900 | 5,000 | 2 | 9 | 50% |" in text


def test_the_section_is_put_before_what_the_figures_say_and_replaced_there() -> None:
    page = "# Results\n\n## Scrapes\n\ntext\n\n## What the figures say\n\n- one\n"
    once = TAILS["placed"]("first\n", page)
    assert once.index("## Tails at half load") < once.index("## What the figures say")
    twice = TAILS["placed"]("second\n", once)
    assert "first" not in twice
    assert twice == once.replace("first", "second")
