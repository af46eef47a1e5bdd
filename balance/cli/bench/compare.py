"""Whether one run is better than another, or chance: ratios with the interval that noise explains.

A file may have several runs (one JSON document after another); then what differs between runs of one kind is the noise. With
one run each it is what differs between the stretches of time within, which is less than between runs, and is said so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from balance.cli.bench.report import shown
from balance.cli.bench.result import FORMAT
from balance.errors import BalanceError

# Student's t for 95 %, by degrees of freedom; between them the smaller row holds.
T_95: Final = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 8: 2.306, 10: 2.228, 15: 2.131, 20: 2.086, 30: 2.042}
RESOLUTION: Final = 0.002  # two buckets of the histogram: less is no difference
FIELDS: Final = ("requests_per_s", "p50", "p90", "p99")
ENOUGH_RUNS: Final = 3


class Comparison(NamedTuple):
    """One number of two files: `ratio` is b's to a's, and so are the bounds that it lies in with 95 %."""

    name: str
    a: float
    b: float
    ratio: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        return self.low > 0

    @property
    def verdict(self) -> str:
        if not self.is_known:
            return "too few samples to tell"
        if self.low <= 1 <= self.high or abs(self.ratio - 1) <= RESOLUTION:
            return "noise"
        is_better = (self.ratio > 1) == (self.name == "requests_per_s")
        return "better" if is_better else "worse"


def runs_of(path: Path) -> list[dict[str, Any]]:
    """The runs in a file. BalanceError says what it is instead."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BalanceError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    decoder, place, runs = json.JSONDecoder(), 0, []
    text = text.strip()
    while place < len(text):
        try:
            found, place = decoder.raw_decode(text, place)
        except ValueError as error:
            raise BalanceError(f"{path}: not JSON: {error}") from None
        runs += found if isinstance(found, list) else [found]
        while place < len(text) and text[place].isspace():
            place += 1
    if not runs or not all(isinstance(each, dict) and each.get("format") == FORMAT for each in runs):
        raise BalanceError(f"{path}: not what --json or --output of tcp-bench or latency-test wrote")
    return runs


def compared(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[Comparison]:
    return [_compare(name, a, b) for name in FIELDS]


def differences(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[str]:
    """What was not the same in all runs, so that a ratio may come from it. Targets may differ: they are what is compared."""
    every = [run["settings"] for run in (*a, *b)]
    return [name for name in every[0] if name != "target" and any(each[name] != every[0][name] for each in every)]


def lines(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[str]:
    text = [f"{'':16}{'a':>12}{'b':>12}{'b / a':>9}   {'95 % lie in':15} verdict"]
    for each in compared(a, b):
        bounds = f"{each.low:.3f}..{each.high:.3f}" if each.is_known else ""
        is_rate = each.name == "requests_per_s"
        show = (lambda value: f"{value:,.0f}") if is_rate else shown
        label = "requests/s" if is_rate else each.name
        text.append(f"{label:16}{show(each.a):>12}{show(each.b):>12}{each.ratio:>9.3f}   {bounds:15} {each.verdict}")
    text += [f"Note: {name} is not the same in all runs: what differs may come from it" for name in differences(a, b)]
    if min(len(a), len(b)) < ENOUGH_RUNS:
        text.append(
            f"Note: {len(a)} and {len(b)} runs: noise is judged by the stretches of time within a run. Runs differ more; "
            f"{ENOUGH_RUNS} or more of each, in turn (a b a b ...), appended to the files, say more"
        )
    return text


def document(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "runs": [len(a), len(b)],
        "different_settings": differences(a, b),
        "numbers": {
            each.name: {
                "a": each.a,
                "b": each.b,
                "ratio": each.ratio,
                "low": each.low,
                "high": each.high,
                "verdict": each.verdict,
            }
            for each in compared(a, b)
        },
    }


def _compare(name: str, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> Comparison:
    is_by_run = min(len(a), len(b)) >= ENOUGH_RUNS
    whole_a, whole_b = _mean([_of_run(run, name) for run in a]), _mean([_of_run(run, name) for run in b])
    ratio = whole_b / whole_a if whole_a else 0.0
    logs_a, logs_b = (
        [
            math.log(value)
            for run in runs
            for value in ([_of_run(run, name)] if is_by_run else _of_slices(run, name))
            if value > 0
        ]
        for runs in (a, b)
    )
    if min(len(logs_a), len(logs_b)) < 3 or ratio <= 0:
        return Comparison(name, whole_a, whole_b, ratio, 0.0, 0.0)
    # Welch's: ratios are differences of logarithms, and the two need not vary alike.
    share_a, share_b = _variance(logs_a) / len(logs_a), _variance(logs_b) / len(logs_b)
    spread = share_a + share_b
    freedom = spread**2 / (share_a**2 / (len(logs_a) - 1) + share_b**2 / (len(logs_b) - 1)) if spread else 1e9
    half = _t(freedom) * math.sqrt(spread)
    return Comparison(name, whole_a, whole_b, ratio, ratio * math.exp(-half), ratio * math.exp(half))


def _of_run(run: Mapping[str, Any], name: str) -> float:
    return float(run[name] if name == "requests_per_s" else run["latency_ns"][name])


def _of_slices(run: Mapping[str, Any], name: str) -> list[float]:
    # The last slice may be shorter than the others.
    return [float(each[name]) for each in run["slices"][:-1]]


def _t(freedom: float) -> float:
    return T_95[max((each for each in T_95 if each <= freedom), default=1)]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _variance(values: list[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
