"""Paired rounds: every peer once per round, each round beginning with another one."""

import sys
from dataclasses import asdict, dataclass

from wire import procfs
from wire.http2 import generator
from wire.load import LoadFailedError
from wire.running_peers import Remarks, RunningPeer, Stage
from wire.scenarios import Question, Scenario

WARM_UP_S = 1
QUIET = 0.05  # above this share of the proxy's core taken by others, a figure is worth less


@dataclass(frozen=True, slots=True)
class Sample:
    """One peer, one round. CPU figures are None for the direct way, which has no process of its own."""

    scenario: str
    peer: str
    round: int
    requests: int
    requests_per_s: float
    cpu_us: float | None
    user_us: float | None
    cpu_us_per_mb: float | None
    busy: float | None
    others_busy: float
    p50_us: float
    p99_us: float
    mean_us: float
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def rotated(ways: list[RunningPeer], by: int) -> list[RunningPeer]:
    """Whoever follows the same neighbour in every round inherits its cache and its heat."""
    turn = by % len(ways)
    return ways[turn:] + ways[:turn]


def measure(row: Scenario, way: RunningPeer, number: int, seconds: float, stage: Stage) -> Sample:
    pids = way.child.pids if way.child else []
    ticks_before, steal_before = procfs.core_ticks(stage.proxy_core)
    before = procfs.clocks(pids)
    figures = generator.run(way.row, way.port, seconds, stage.load_core, stage.folder)
    after = procfs.clocks(way.child.pids if way.child else [])
    ticks_after, steal_after = procfs.core_ticks(stage.proxy_core)
    cost = procfs.spent(before, after)

    problems = [f"{count} {kind} errors" for kind, count in figures.failures.items()]
    if not figures.requests:
        problems.append("no request was answered")
    problems += [f"process {pid} ended during the load" for pid in cost.ended]
    busy_ns = (ticks_after - ticks_before + steal_after - steal_before) * procfs.TICK_NS
    requests, wall_ns = max(1, figures.requests), figures.elapsed_s * 1e9
    cpu_us = cost.total_ns / 1000 / requests if pids else None
    return Sample(
        scenario=row.name,
        peer=way.name,
        round=number,
        requests=figures.requests,
        requests_per_s=figures.requests / figures.elapsed_s,
        cpu_us=cpu_us,
        user_us=cpu_us * cost.user_share if cpu_us is not None else None,
        cpu_us_per_mb=cost.total_ns / 1000 / max(1e-9, figures.read_bytes / 1e6) if pids else None,
        busy=cost.total_ns / wall_ns if pids else None,
        others_busy=max(0.0, busy_ns - cost.total_ns) / wall_ns,
        p50_us=figures.p50_us,
        p99_us=figures.p99_us,
        mean_us=figures.mean_us,
        problems=tuple(problems),
    )


def play(row: Scenario, ways: list[RunningPeer], rounds: int, seconds: float, stage: Stage, remarks: Remarks) -> list[Sample]:
    """LoadFailedError, where the load does not run to its end twice in a row."""
    for way in ways:
        generator.run(way.row, way.port, min(WARM_UP_S, seconds), stage.load_core, stage.folder)
    samples = []
    for number in range(rounds):
        for way in rotated(ways, number):
            problems, sample = _tried(row, way, number, seconds, stage)
            if sample is None or problems:  # of thousands one must not cost a row; a peer that always fails does again
                remarks.repeated.append(f"{row.name} round {number + 1} {way.name}: {problems}")
                print(f"{remarks.repeated[-1]}: taken once more", file=sys.stderr, flush=True)
                sample = measure(row, way, number, seconds, stage)
            samples.append(sample)
            print(progress(row, sample), file=sys.stderr, flush=True)
    return samples


def _tried(row: Scenario, way: RunningPeer, number: int, seconds: float, stage: Stage) -> tuple[str, Sample | None]:
    """A sample, and what is wrong with it."""
    try:
        sample = measure(row, way, number, seconds, stage)
    except LoadFailedError as error:
        return str(error).partition("\n")[0], None
    return ", ".join(sample.problems), sample


def progress(row: Scenario, sample: Sample) -> str:
    figure = f"p50 {sample.p50_us:.0f} us"
    if row.question is Question.CPU and sample.cpu_us is not None:
        figure = f"{sample.cpu_us:.2f} us CPU per request"
    said = f"{row.name} round {sample.round + 1} {sample.peer}: {figure}, {sample.requests_per_s:,.0f}/s"
    if sample.others_busy > QUIET:
        said += f" (others took {sample.others_busy:.0%} of the proxy's core)"
    return said + (f"  !! INVALID: {'; '.join(sample.problems)}" if sample.problems else "")
