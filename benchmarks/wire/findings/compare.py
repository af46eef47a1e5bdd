"""Computes ratios within a round, and of medians what is compared. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from wire.idle import Weight
from wire.origin import MB
from wire.rounds import QUIET, Sample
from wire.scenarios import SCENARIOS


@dataclass(frozen=True, slots=True)
class Findings:
    samples: tuple[Sample, ...]
    weights: tuple[Weight, ...]

    def rounds_of(self, scenario: str, peer: str) -> list[Sample]:
        return [sample for sample in self.samples if (sample.scenario, sample.peer) == (scenario, peer)]

    def peers_of(self, scenario: str) -> list[str]:
        return list(dict.fromkeys(sample.peer for sample in self.samples if sample.scenario == scenario))

    def weight_of(self, peer: str, scenario: str = "memory") -> Weight | None:
        found = (each for each in self.weights if (each.scenario, each.peer) == (scenario, peer) and not each.problems)
        return next(found, None)

    def invalid(self) -> list[str]:
        """Every row that carries a failure: its figures count for nothing."""
        rows = [f"{s.scenario} round {s.round + 1} {s.peer}: {', '.join(s.problems)}" for s in self.samples if s.problems]
        return rows + [f"{w.scenario} {w.peer}: {', '.join(w.problems)}" for w in self.weights if w.problems]

    def noisy(self) -> list[str]:
        return [
            f"{s.scenario} round {s.round + 1} {s.peer}: others took {s.others_busy:.0%} of the proxy's core"
            for s in self.samples
            if s.others_busy > QUIET
        ]


def problems_of(rounds: list[Sample]) -> list[str]:
    return sorted({problem for sample in rounds for problem in sample.problems})


def cost(sample: Sample) -> float:
    """What ratios are made of. Large replies are compared by the byte: a run ends in the middle of some."""
    figure = sample.cpu_us_per_mb if SCENARIOS[sample.scenario].body_bytes >= MB else sample.cpu_us
    assert figure is not None
    return figure


def p50(sample: Sample) -> float:
    return sample.p50_us


def pairs(findings: Findings, scenario: str, peer: str, base: str) -> list[tuple[Sample, Sample]]:
    """Both peers' samples of each round; nothing when either of them is missing or failed even once."""
    ours, theirs = findings.rounds_of(scenario, peer), findings.rounds_of(scenario, base)
    if problems_of(ours) or problems_of(theirs):
        return []
    by_round = {sample.round: sample for sample in theirs}
    return [(sample, by_round[sample.round]) for sample in ours if sample.round in by_round]


def ratio(findings: Findings, scenario: str, peer: str, base: str) -> float | None:
    found = [cost(mine) / cost(other) for mine, other in pairs(findings, scenario, peer, base)]
    return median(found) if found else None


def added(findings: Findings, scenario: str, peer: str, base: str, figure: Callable[[Sample], float]) -> float | None:
    found = [figure(mine) - figure(other) for mine, other in pairs(findings, scenario, peer, base)]
    return median(found) if found else None


RIVALS = ("nginx", "haproxy")


def against_better(
    findings: Findings, scenario: str, peer: str, figure: Callable[[Sample], float]
) -> list[tuple[float, float]]:
    """For each round this peer's figure and that of the better of RIVALS in it; nothing where one of them failed."""
    ours = findings.rounds_of(scenario, peer)
    rivals = [rounds for rival in RIVALS if (rounds := findings.rounds_of(scenario, rival))]
    if len(rivals) != len(RIVALS) or any(map(problems_of, (ours, *rivals))):
        return []
    best: dict[int, float] = {}
    for sample in (sample for rounds in rivals for sample in rounds):
        best[sample.round] = min(best.get(sample.round, figure(sample)), figure(sample))
    return [(figure(sample), best[sample.round]) for sample in ours if sample.round in best]
