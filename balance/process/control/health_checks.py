"""The health checks of all backends. A check that a reload does not change goes on undisturbed."""

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
        """`on_result` gets the slot and each result; `outage` returns a pool's size while none of its backends is ready."""
        self._on_result = on_result
        self._outage = outage
        self._health_checks: dict[int, tuple[HealthCheck, BackendConfig, ProbeLoop]] = {}

    def update(self, backends: Iterable[BackendView], statuses: Mapping[int, BackendStatus]) -> None:
        """Check these backends from now on."""
        before, self._health_checks = self._health_checks, {}
        new = []
        for backend_view in backends:
            check = backend_view.pool.health_check
            if not check.enabled:
                continue
            known = before.get(backend_view.slot)
            if known is not None and known[0] == check and known[1].name == backend_view.backend.name:  # a slot has one address
                self._health_checks[backend_view.slot] = before.pop(backend_view.slot)
            else:
                new.append(backend_view)
        for _, _, watch in before.values():
            watch.stop()
        for index, backend_view in enumerate(new):
            check = backend_view.pool.health_check
            on_result = functools.partial(self._on_result, backend_view.slot)
            outage = functools.partial(self._outage, backend_view.pool.name)
            watch = ProbeLoop(check, backend_view.backend, statuses[backend_view.slot], on_result, outage=outage)
            self._health_checks[backend_view.slot] = (check, backend_view.backend, watch)
            watch.start(first_delay_s(check, index, len(new)))

    def probe_now(self, slot: int) -> None:
        """Probe that backend at once."""
        if slot in self._health_checks:
            self._health_checks[slot][2].probe_now()

    def last_result(self, slot: int) -> Result | None:
        """The result of its last probe."""
        return self._health_checks[slot][2].last if slot in self._health_checks else None

    def stop(self) -> None:
        for _, _, watch in self._health_checks.values():
            watch.stop()
