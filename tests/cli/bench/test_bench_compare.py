from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from balance.cli.bench import compare
from balance.cli.bench.result import FORMAT
from balance.errors import BalanceError


def made(speed: float, spread: float, seed: int, **settings: Any) -> dict[str, Any]:
    rand = random.Random(seed)
    slices = [
        {"requests_per_s": speed * rand.gauss(1, spread), **dict.fromkeys(("p50", "p90", "p99"), 1e9 / speed)}
        for _ in range(20)
    ]
    return {
        "format": FORMAT,
        "settings": {"target": "http://h/", "connections": 10, **settings},
        "requests_per_s": speed,
        "latency_ns": dict.fromkeys(("p50", "p90", "p99"), 1e9 / speed),
        "slices": slices,
    }


@pytest.mark.parametrize(
    ("speed", "spread", "verdict"),
    [(1100, 0.01, "better"), (900, 0.01, "worse"), (1010, 0.1, "noise"), (1001, 0.00001, "noise"), (500, 0.1, "worse")],
)
def test_what_is_more_than_noise_within_a_run(speed: float, spread: float, verdict: str) -> None:
    found = compare.compared([made(1000, spread, 1)], [made(speed, spread, 2)])
    assert (found[0].name, found[0].verdict) == ("requests_per_s", verdict)
    assert found[0].ratio == pytest.approx(speed / 1000)


def test_less_latency_is_better() -> None:
    assert [each.verdict for each in compare.compared([made(1000, 0.01, 1)], [made(2000, 0.01, 2)])][1] == "better"


def test_runs_that_differ_more_than_their_slices_decide() -> None:
    """S50: each run is steady in itself, and the machine is another one each time."""
    a = [made(speed, 0.001, seed) for seed, speed in enumerate((1000, 1300, 900))]
    b = [made(speed, 0.001, seed) for seed, speed in enumerate((1100, 1250, 1050))]
    assert compare.compared(a[:1], b[:1])[0].verdict == "better"
    assert compare.compared(a, b)[0].verdict == "noise"


def test_too_short_a_run_says_nothing() -> None:
    short = made(1000, 0.01, 1)
    short["slices"] = short["slices"][:2]
    assert compare.compared([short], [short])[0].verdict == "too few samples to tell"


def test_other_settings_are_named_and_targets_may_differ() -> None:
    a, b = made(1000, 0.01, 1), made(1000, 0.01, 2, connections=20, target="http://other/")
    assert compare.differences([a], [b]) == ["connections"]
    assert any("connections is not the same" in line for line in compare.lines([a], [b]))


def test_a_file_may_have_several_runs(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    run = made(1000, 0.01, 1)
    file.write_text(json.dumps(run) + "\n" + json.dumps(run, indent=2) + json.dumps([run]))
    assert len(compare.runs_of(file)) == 3


@pytest.mark.parametrize("text", ["", "{}", "[1]", "{", "latency 3 ms", '{"format": "other"}'])
def test_another_file_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(BalanceError) as e:
        compare.runs_of(file)
    assert str(e.value).startswith(f"{file}: not ")
