"""A discrete-event simulation with the real Pool and policies, a virtual clock and a seeded random generator.

The same scenario, algorithm and seed give the same report.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import accumulate, count
from random import Random

from balance.balancing import POLICIES
from balance.config.model import BackendConfig
from balance.model import Address, Outcome
from balance.runtime import counters
from balance.runtime.backend import Backend
from balance.runtime.pool import Pool
from balance.runtime.row import Row
from balance.simulation.report import NO_BACKEND, Report
from balance.simulation.scenarios import Scenario
from balance.simulation.servers import SimulatedServer

Action = Callable[[float], object]


def simulate(scenario: Scenario, algorithm: str, *, seed: int = 1) -> Report:
    """Simulate a scenario with an algorithm, a key of POLICIES."""
    return _Run(scenario, algorithm, seed).report()


class _Run:
    """The events are on a heap by time; a sequence number orders simultaneous ones."""

    def __init__(self, scenario: Scenario, algorithm: str, seed: int) -> None:
        self._scenario = scenario
        self._rng = Random(seed)  # for arrivals only, so that all algorithms get the same traffic
        self._servers = [SimulatedServer(server, Random(f"{seed} {server.name}")) for server in scenario.servers]
        self._pools = [_pool(scenario, algorithm, Random(f"{seed} {number}")) for number in range(scenario.balancers)]
        self._keys = list(accumulate((rank + 1) ** -scenario.skew for rank in range(scenario.keys)))
        self._due: list[tuple[float, int, Action]] = []
        self._number = count()

    def report(self) -> Report:
        scenario, rng = self._scenario, self._rng
        report = Report([server.name for server in scenario.servers], scenario.warm_up_s)
        for fault in (fault for server in scenario.servers for fault in server.faults):
            self._at(fault.from_s, self._check_health)
            self._at(fault.to_s, self._check_health)
        if len(self._pools) > 1:
            self._at(scenario.sync_interval_s, self._sync)
        last: dict[bytes, int] = {}
        now = rng.expovariate(scenario.rate_per_s)
        while now < scenario.duration_s:
            self._catch_up(now)
            pool, key = rng.choice(self._pools), self._key()
            server = self._send(pool, key, now, report)
            if key and server != last.setdefault(key, server):
                last[key] = server
                report.moved += now >= scenario.warm_up_s
            now += rng.expovariate(scenario.rate_per_s)
        return report

    def _send(self, pool: Pool, key: bytes, now: float, report: Report) -> int:
        lease = pool.acquire(key, now)
        if lease is None:
            report.add(now, NO_BACKEND, 0.0, False)
            return NO_BACKEND
        server = lease.backend.slot - 1
        answered_at, is_good = self._servers[server].serve(now)
        report.add(now, server, answered_at - now, is_good)
        self._at(answered_at, lambda then: lease.release(Outcome.OK, then, None, 200 if is_good else 503))
        return server

    def _key(self) -> bytes:
        """A key by the scenario's Zipf distribution; empty without keys."""
        if not self._keys:
            return b""
        return b"client-%d" % bisect_left(self._keys, self._rng.random() * self._keys[-1])

    def _at(self, when: float, action: Action) -> None:
        heappush(self._due, (when, next(self._number), action))

    def _catch_up(self, now: float) -> None:
        due = self._due
        while due and due[0][0] <= now:
            when, _, action = heappop(due)
            action(when)

    def _check_health(self, now: float) -> None:
        """Set the ready servers in every balancer's pool."""
        for pool in self._pools:
            for backend, machine in zip(pool.backends, self._servers, strict=True):
                pool.set_ready(backend, machine.fault(now).is_ready)

    def _sync(self, now: float) -> None:
        """Give every balancer a sample of the others' active requests."""
        for backends in zip(*(pool.backends for pool in self._pools), strict=True):
            held = sum(backend.load.active for backend in backends)
            for backend in backends:
                backend.load.sample_elsewhere(held - backend.load.active)
        self._at(now + self._scenario.sync_interval_s, self._sync)


def _pool(scenario: Scenario, algorithm: str, rand: Random) -> Pool:
    servers: Sequence[BackendConfig] = [
        BackendConfig(server.name, Address(server.name, 0), server.weight) for server in scenario.servers
    ]
    row = Row(memoryview(bytearray(8 * counters.row_cells(len(servers) + 1))).cast("Q"))
    backends = [Backend(server, slot) for slot, server in enumerate(servers, start=1)]
    return Pool("simulated", backends, algorithm, POLICIES[algorithm](rand.random), row)
