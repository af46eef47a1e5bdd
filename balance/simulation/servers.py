"""A simulated server: response time and success of each request."""

from __future__ import annotations

from heapq import heapreplace
from math import exp, log
from random import Random

from balance.simulation.scenarios import Fault, Server

_NO_FAULT = Fault()


class SimulatedServer:
    """Serves requests in the order of arrival, each in the slot that is free first."""

    __slots__ = ("_free_at", "_mu", "_rand", "_server")

    def __init__(self, server: Server, rand: Random) -> None:
        self._server = server
        self._rand = rand
        self._mu = log(server.mean_s) - server.sigma**2 / 2
        self._free_at = [0.0] * server.slots  # a heap

    def fault(self, now: float) -> Fault:
        """The first fault whose time range has `now`."""
        for fault in self._server.faults:
            if fault.from_s <= now < fault.to_s:
                return fault
        return _NO_FAULT

    def serve(self, now: float) -> tuple[float, bool]:
        """When a request that arrives at `now` is answered, and whether successfully."""
        begin = max(now, self._free_at[0])
        # Always drawn, so that a fault does not change later service times.
        service_s = exp(self._rand.gauss(self._mu, self._server.sigma))
        fault = self.fault(begin)
        is_good = fault.fails_in_s is None
        service_s = service_s * fault.slowness if fault.fails_in_s is None else fault.fails_in_s
        heapreplace(self._free_at, begin + service_s)
        return begin + service_s, is_good
