"""A discrete-event simulation: the pools and policies of real workers, a virtual clock, and chance from one seed.

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
from balance.simulation.report import NOBODY, Report
from balance.simulation.scenarios import Scenario
from balance.simulation.servers import Machine

Action = Callable[[float], object]


def simulate(scenario: Scenario, algorithm: str, *, seed: int = 1) -> Report:
    """Let the traffic of a scenario be balanced by an algorithm, a key of POLICIES."""
    return _Run(scenario, algorithm, seed).report()


class _Run:
    """What happens is on a heap, by its time; a number keeps what is simultaneous in order."""

    def __init__(self, scenario: Scenario, algorithm: str, seed: int) -> None:
        self._scenario = scenario
        self._luck = Random(seed)  # of the traffic; what is chosen for it must not change what comes
        self._machines = [Machine(server, Random(f"{seed} {server.name}")) for server in scenario.servers]
        self._pools = [_pool(scenario, algorithm, Random(f"{seed} {number}")) for number in range(scenario.balancers)]
        self._keys = list(accumulate((rank + 1) ** -scenario.skew for rank in range(scenario.keys)))
        self._due: list[tuple[float, int, Action]] = []
        self._number = count()

    def report(self) -> Report:
        scenario, luck = self._scenario, self._luck
        report = Report([server.name for server in scenario.servers], scenario.warm_up_s)
        for spell in (spell for server in scenario.servers for spell in server.spells):
            self._at(spell.from_s, self._check_health)
            self._at(spell.to_s, self._check_health)
        if len(self._pools) > 1:
            self._at(scenario.look_around_s, self._look_around)
        last: dict[bytes, int] = {}
        now = luck.expovariate(scenario.rate_per_s)
        while now < scenario.duration_s:
            self._catch_up(now)
            pool, key = luck.choice(self._pools), self._key()
            server = self._send(pool, key, now, report)
            if key and server != last.setdefault(key, server):
                last[key] = server
                report.moved += now >= scenario.warm_up_s
            now += luck.expovariate(scenario.rate_per_s)
        return report

    def _send(self, pool: Pool, key: bytes, now: float, report: Report) -> int:
        lease = pool.acquire(key, now)
        if lease is None:
            report.add(now, NOBODY, 0.0, False)
            return NOBODY
        server = lease.backend.slot - 1
        answered_at, is_good = self._machines[server].serve(now)
        report.add(now, server, answered_at - now, is_good)
        self._at(answered_at, lambda then: lease.release(Outcome.OK, then, None, 200 if is_good else 503))
        return server

    def _key(self) -> bytes:
        """A client, those of low rank more often; none where the scenario has no keys."""
        if not self._keys:
            return b""
        return b"client-%d" % bisect_left(self._keys, self._luck.random() * self._keys[-1])

    def _at(self, when: float, action: Action) -> None:
        heappush(self._due, (when, next(self._number), action))

    def _catch_up(self, now: float) -> None:
        due = self._due
        while due and due[0][0] <= now:
            when, _, action = heappop(due)
            action(when)

    def _check_health(self, now: float) -> None:
        """Every balancer learns at once which servers are ready, as workers do from the board."""
        for pool in self._pools:
            for backend, machine in zip(pool.backends, self._machines, strict=True):
                pool.set_ready(backend, machine.spell(now).is_ready)

    def _look_around(self, now: float) -> None:
        """Every balancer learns what the others hold of each server now."""
        for backends in zip(*(pool.backends for pool in self._pools), strict=True):
            held = sum(backend.load.active for backend in backends)
            for backend in backends:
                backend.load.look_elsewhere(held - backend.load.active)
        self._at(now + self._scenario.look_around_s, self._look_around)


def _pool(scenario: Scenario, algorithm: str, rand: Random) -> Pool:
    servers: Sequence[BackendConfig] = [
        BackendConfig(server.name, Address(server.name, 0), server.weight) for server in scenario.servers
    ]
    row = counters.Row(memoryview(bytearray(8 * counters.row_cells(len(servers) + 1))).cast("Q"))
    backends = [Backend(server, slot) for slot, server in enumerate(servers, start=1)]
    return Pool("simulated", backends, algorithm, POLICIES[algorithm](rand.random), row)
