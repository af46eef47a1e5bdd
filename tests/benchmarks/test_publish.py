"""The command that makes the page of results: what it runs, and that a failure stops nothing else."""

import argparse
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from wire import order

ROOT = Path(__file__).parents[2]
PUBLISH = runpy.run_path(str(ROOT / "benchmarks" / "publish" / "__main__.py"))


def given(**changes: object) -> argparse.Namespace:
    usual = {"installed": [("compiled", sys.executable)], "rounds": 20, "seconds": 0.5, "tail_seconds": 5, "counted": "CPython"}
    return argparse.Namespace(**usual | changes)


def test_it_runs_what_writes_sections_and_each_of_them_exists() -> None:
    commands = PUBLISH["commands"](given())
    assert [words[0] for words in commands] == [f"benchmarks/{name}" for name in ("instructions", "wire", "tails", "tools")]
    assert all((ROOT / words[0] / "__main__.py").is_file() and words[-1] == "--write" for words in commands)
    page = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    assert all(
        page.count(f"<!-- {name}:begin -->") == page.count(f"<!-- {name}:end -->") == 1 for name in ("costs", "wire", "tools")
    )


def test_the_wire_is_played_twenty_times_and_over_http2_a_quarter_as_often() -> None:
    wire = next(words for words in PUBLISH["commands"](given()) if words[0] == "benchmarks/wire")
    asked = order.read(wire[1:])
    assert (asked.rounds, asked.http2_rounds, asked.seconds, asked.write) == (20, 5, 0.5, True)
    assert [peer.name for peer in asked.peers] == ["nginx", "haproxy", "balance", "compiled"]
    once = next(words for words in PUBLISH["commands"](given(rounds=1)) if words[0] == "benchmarks/wire")
    assert (order.read(once[1:]).rounds, order.read(once[1:]).http2_rounds) == (1, 1)


@pytest.mark.parametrize(("statuses", "expected", "ran"), [((0, 0, 0, 0), 0, 4), ((0, 1, 0, 0), 1, 4), ((0, 130), 130, 2)])
def test_what_fails_is_said_at_the_end_and_stops_nothing_but_an_interrupt_does(
    statuses: tuple[int, ...], expected: int, ran: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = list(statuses)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: argparse.Namespace(returncode=left.pop(0)))
    monkeypatch.setattr(sys, "argv", ["benchmarks/publish", "--busy"])
    assert PUBLISH["main"]() == expected
    assert len(statuses) - len(left) == ran
    assert ("benchmarks/wire ended with 1" in capsys.readouterr().err) == (expected == 1)
