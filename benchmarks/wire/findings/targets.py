"""What the compiled Balance is held to. One line in TARGETS for each promise."""

from collections.abc import Callable
from dataclasses import dataclass

from wire.findings.compare import Findings, against_better, cost, p50, pairs
from wire.idle import Weight
from wire.origin import MB
from wire.running_peers import TWIN


@dataclass(frozen=True, slots=True)
class Target:
    scenario: str
    promise: str
    unit: str
    limit: float
    measure: Callable[[Findings, str], list[float]]  # one for each round, or one; nothing where it was not measured


def _cpu(scenario: str, limit: float) -> Target:
    def measure(findings: Findings, peer: str) -> list[float]:
        return [mine / best for mine, best in against_better(findings, scenario, peer, cost)]

    return Target(scenario, f"CPU at most {limit} × the better of nginx and HAProxy", "×", limit, measure)


def _own(scenario: str, limit: float) -> Target:
    def measure(findings: Findings, peer: str) -> list[float]:
        return [cost(mine) / cost(plain) for mine, plain in pairs(findings, scenario, peer, peer + TWIN)]

    return Target(scenario, f"CPU at most {limit} × its own HTTP/1 request", "×", limit, measure)


def _added_p50(findings: Findings, peer: str) -> list[float]:
    return [mine - best for mine, best in against_better(findings, "http-latency", peer, p50)]


def _memory(scenario: str, promise: str, unit: str, limit: float, figure: Callable[[Weight], float]) -> Target:
    def measure(findings: Findings, peer: str) -> list[float]:
        weight = findings.weight_of(peer, scenario)
        return [figure(weight)] if weight else []

    return Target(scenario, f"{promise} under {limit:g} {unit}", unit, limit, measure)


def _idle_kb(weight: Weight) -> float:
    return weight.idle_bytes / 1000


def _worker_mb(weight: Weight) -> float:
    return weight.worker.loaded_pss / MB


def _all_mb(weight: Weight) -> float:
    return sum(process.loaded_pss for process in weight.processes) / MB


TARGETS = (
    _cpu("http-keepalive", 1.0),
    _cpu("http-minimal", 1.1),
    _cpu("http-everything", 1.05),
    _cpu("http-unique", 1.4),
    _cpu("http-route-stages", 1.1),
    _cpu("http-chunked", 1.1),
    _cpu("http-close", 1.4),
    _cpu("http-64k", 0.95),
    _cpu("http-post-64k", 0.95),
    _cpu("http-10m", 0.8),
    _cpu("tcp-1k", 1.1),
    _cpu("tcp-connect", 1.5),
    _cpu("tcp-10m", 0.8),
    _cpu("tls-keepalive", 1.25),
    _cpu("tls-route-stages", 1.1),
    _cpu("tls-64k", 0.95),
    _cpu("tls-connect", 1.3),
    Target("http-latency", "p50 not above the better of nginx and HAProxy", "µs", 0.0, _added_p50),
    _own("h2-keepalive", 1.5),
    _own("h2-ten", 1.2),
    _own("grpc-unary", 1.7),
    _memory("h2-memory", "an idle connection", "KB", 6.0, _idle_kb),
    _memory("memory", "an idle connection", "KB", 1.2, _idle_kb),
    _memory("memory", "a worker's PSS after load", "MB", 25.0, _worker_mb),
    _memory("tcp-memory", "an idle session, both its connections,", "KB", 3.0, _idle_kb),
    _memory("memory-4-workers", "PSS of supervisor, control and 4 workers after load", "MB", 100.0, _all_mb),
)
