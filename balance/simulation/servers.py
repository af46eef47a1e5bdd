"""A simulated machine: when it would have answered, and whether well. Knows nothing of balancing."""

from __future__ import annotations

from heapq import heapreplace
from math import exp, log
from random import Random

from balance.simulation.scenarios import Server, Spell

_AS_USUAL = Spell()


class Machine:
    """A server at work. Requests come in the order of time, and each is served by the slot that is free first."""

    __slots__ = ("_free_at", "_mu", "_rand", "_server")

    def __init__(self, server: Server, rand: Random) -> None:
        self._server = server
        self._rand = rand
        self._mu = log(server.mean_s) - server.sigma**2 / 2
        self._free_at = [0.0] * server.slots  # a heap

    def spell(self, now: float) -> Spell:
        """What it goes through at `now`: the first spell that covers it."""
        for spell in self._server.spells:
            if spell.from_s <= now < spell.to_s:
                return spell
        return _AS_USUAL

    def serve(self, now: float) -> tuple[float, bool]:
        """When a request of `now` is answered, and whether well."""
        begin = max(now, self._free_at[0])
        # Drawn whether it is used or not, so that what befalls a server changes nobody's luck.
        service_s = exp(self._rand.gauss(self._mu, self._server.sigma))
        spell = self.spell(begin)
        is_good = spell.fails_in_s is None
        service_s = service_s * spell.slowness if spell.fails_in_s is None else spell.fails_in_s
        heapreplace(self._free_at, begin + service_s)
        return begin + service_s, is_good
