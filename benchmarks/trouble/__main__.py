"""`python3 benchmarks/trouble`: the promises about slow, failing and recovered backends, simulated on many seeds.

The policies' constants were chosen while looking at seeds 1 to 5, so those can't confirm them; the default is seeds 401 to 408,
fixed before they were first run. Every run is counted, and those that miss are named. It judges nothing and tunes nothing.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the checkout's own package, whatever is installed

from balance.load import DECAY_S
from balance.simulation import SCENARIOS, Report, simulate

LATENCY = ("least-response-time", "adaptive")
LOOKING = (*LATENCY, "least-connections", "weighted-least-connections", "power-of-two")
FAIR = 0.1  # ten servers
BACK_S = 20.0 + 3 * DECAY_S  # well again at 20 s, and three decay times later
SPAN_S = 60.0  # six decay times from then on: over 20 s even one that never was unwell gets 0.90 to 1.08 of what is fair


def run(scenario: str, algorithm: str, balancers: int, seed: int, duration_s: float = 0.0) -> Report:
    made = replace(SCENARIOS[scenario](), balancers=balancers)
    return simulate(replace(made, duration_s=duration_s) if duration_s else made, algorithm, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="401-408", metavar="FIRST-LAST")
    first, _, last = parser.parse_args().seeds.partition("-")
    seen: dict[str, list[tuple[float, bool, str]]] = {}
    for seed in range(int(first), int(last or first) + 1):
        for balancers in (1, 16):
            for algorithm in LOOKING:
                who = f"{algorithm}, {balancers} workers, seed {seed}"
                failing = run("one-failing", algorithm, balancers, seed)
                for what, share in (
                    ("share of one that fails, all the time", failing.share("server-1")),
                    ("share of one that fails, first second", failing.share("server-1", 0, 1.0)),
                ):
                    seen.setdefault(what, []).append((share / FAIR, share <= FAIR, who))
                usual = run("healthy", algorithm, balancers, seed, BACK_S + SPAN_S).share("server-1", BACK_S) / FAIR
                seen.setdefault("share of one that was never unwell", []).append((usual, usual >= 0.9, who))
                for scenario in ("slow-then-well", "failing-then-well"):
                    part = run(scenario, algorithm, balancers, seed, BACK_S + SPAN_S).share("server-1", BACK_S) / FAIR
                    seen.setdefault("share of one that is well again", []).append((part, part >= 0.9, f"{scenario}, {who}"))
                if algorithm in LATENCY:
                    healthy, slow = (run(name, algorithm, balancers, seed).p99_s for name in ("healthy", "one-slow"))
                    seen.setdefault("p99 with one slow server", []).append((slow / healthy, slow <= 1.1 * healthy, who))
    print("| what, as a part of what is fair or healthy | runs | least | most | missed |\n| --- | ---: | ---: | ---: | ---: |")
    for what, runs in seen.items():
        values = [value for value, _, _ in runs]
        missed = [is_good for _, is_good, _ in runs].count(False)
        print(f"| {what} | {len(runs)} | {min(values):.3f} | {max(values):.3f} | {missed} |")
    for what, runs in seen.items():
        for value, is_good, who in runs:
            if not is_good:
                print(f"\nmissed: {what}: {value:.3f} ({who})")


if __name__ == "__main__":
    main()
