"""All the health checks of a configuration. One that a reload leaves alone goes on as if there had been none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping

from balance.admin.state_view import BackendView
from balance.config.model import BackendConfig, HealthCheck
from balance.health.backend_status import BackendStatus
from balance.health.probe_interval import first_delay_s
from balance.probes.result import Result
from balance.probes.schedule import ProbeLoop


def _no_outage(pool: str) -> int:
    return 0


class HealthChecks:
    """By slot."""

    def __init__(self, on_result: Callable[[int, Result], None], outage: Callable[[str], int] = _no_outage) -> None:
        """`answered` is called with a slot and each result; `outage` says how many backends a pool has while none is ready."""
        self._on_result = on_result
        self._outage = outage
        self._health_checks: dict[int, tuple[HealthCheck, BackendConfig, ProbeLoop]] = {}

    def update(self, backends: Iterable[BackendView], statuses: Mapping[int, BackendStatus]) -> None:
        """Watch these from now on, those of them that are to be checked."""
        before, self._health_checks = self._health_checks, {}
        new = []
        for seen in backends:
            check = seen.pool.health_check
            if not check.enabled:
                continue
            known = before.get(seen.slot)
            if known is not None and known[0] == check and known[1].name == seen.backend.name:  # a slot has one address
                self._health_checks[seen.slot] = before.pop(seen.slot)
            else:
                new.append(seen)
        for _, _, watch in before.values():
            watch.stop()
        for index, seen in enumerate(new):
            check = seen.pool.health_check
            on_result = functools.partial(self._on_result, seen.slot)
            outage = functools.partial(self._outage, seen.pool.name)
            watch = ProbeLoop(check, seen.backend, statuses[seen.slot], on_result, outage=outage)
            self._health_checks[seen.slot] = (check, seen.backend, watch)
            watch.start(first_delay_s(check, index, len(new)))

    def probe_now(self, slot: int) -> None:
        """Somebody waits for the answer of that backend."""
        if slot in self._health_checks:
            self._health_checks[slot][2].probe_now()

    def last_result(self, slot: int) -> Result | None:
        """What its last probe answered."""
        return self._health_checks[slot][2].last if slot in self._health_checks else None

    def stop(self) -> None:
        for _, _, watch in self._health_checks.values():
            watch.stop()
