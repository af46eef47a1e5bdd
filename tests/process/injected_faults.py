"""The faults that tests inject into backends, and the configuration under test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backend_processes import BackendProcess

WORKERS = 2
CHECK_S = 0.4
DOWN_S = 3 * CHECK_S
CHECK_TIMEOUT_S = 0.3
PER_TRY_S = 0.5
BACKOFF_S = 0.1
FAILURES = 5
# What a careful user would write who has three backends and no wish to hear of it when one is in trouble.
CONFIGURED: dict[str, Any] = {
    "mode": "http",
    "listen": "127.0.0.1:0",
    "workers": WORKERS,
    "admin": {"listen": "127.0.0.1:0"},
    "shutdown": {"delay": "0s"},
    "load_balancer": {"algorithm": "least-connections"},
    "health_check": {
        "enabled": True,
        "type": "http",
        "path": "/health",
        "interval": f"{CHECK_S}s",
        "timeout": f"{CHECK_TIMEOUT_S}s",
        "panic_threshold": 50,
        "passive_checks": {
            "count": ["connect", "reset", "broken", "timeout", 500, 502, 503, 504],
            "consecutive_failures": FAILURES,
            "ejection_time": "1s",
        },
    },
    "circuit_breaker": {"enabled": True, "failure_threshold": FAILURES, "timeout": "1s"},
    "retry": {
        "max_attempts": 3,
        "on": ["connect", "reset", 502, 503, 504],
        "per_try_timeout": f"{PER_TRY_S}s",
        "backoff_base": f"{BACKOFF_S}s",
        # With three backends, a third of what is in flight may have to move at once; see BALANCING.md.
        "budget": {"ratio": 1.0},
    },
    "timeouts": {"connect": "500ms", "read": "2s", "request": "10s"},
}


@dataclass(frozen=True)
class Fault:
    """What happens to a backend, and how it ends."""

    title: str
    begin: Callable[[BackendProcess], None]
    end: Callable[[BackendProcess], None]
    retry: dict[str, Any] = field(default_factory=dict)
    visible: tuple[int, ...] = ()  # statuses that the machine answers and that are passed on, also of GETs
    is_failing: bool = True  # else nothing of it is to be noticed but that it takes longer
    faulty: tuple[str, ...] = ("b2",)
    backup: str = ""


def _set(behaviour: str) -> Callable[[BackendProcess], None]:
    return lambda backend: backend.set_behaviour(behaviour)


_HEALTHY = _set("well")
_ON_500 = {"on": ["connect", "reset", 500, 502, 503, 504]}

FAULTS = {
    "kill": Fault("killed, and started again on the same port", BackendProcess.kill, BackendProcess.start),
    "freeze": Fault("stopped (SIGSTOP), and goes on", BackendProcess.pause, BackendProcess.resume),
    "partition": Fault("cut off: connects time out, connections are silent", BackendProcess.partition, BackendProcess.heal),
    "reset-accept": Fault("resets every connection as soon as there is one", _set("reset-accept"), _HEALTHY),
    "reset-read": Fault("resets every connection once it has read the request", _set("reset-read"), _HEALTHY),
    "errors-503": Fault("answers 503 to everything, at once", _set("status 503"), _HEALTHY),
    "errors-500": Fault("answers 500 to everything, at once; retry.on has 500", _set("status 500"), _HEALTHY, _ON_500),
    "errors-500-unasked": Fault(
        "answers 500 to everything; retry.on is the default", _set("status 500"), _HEALTHY, visible=(500,)
    ),
    "errors-hidden": Fault(
        "answers 500 to everything but its health checks; retry.on has 500",
        _set("status 500 but-health"),
        _HEALTHY,
        _ON_500,
    ),
    "both-killed": Fault(
        "killed, and started again, while b3 is their backup",
        BackendProcess.kill,
        BackendProcess.start,
        faulty=("b1", "b2"),
        backup="b3",
    ),
    "slow": Fault("takes ten times as long", _set("slow"), _HEALTHY, is_failing=False),
}
