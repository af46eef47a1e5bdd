"""What can be wrong with a backend for a while, and a configuration that is made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fleet import Machine

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
    """What happens to a machine, and how that ends."""

    title: str
    begin: Callable[[Machine], None]
    end: Callable[[Machine], None]
    retry: dict[str, Any] = field(default_factory=dict)
    visible: tuple[int, ...] = ()  # statuses that the machine answers and that are passed on, also of GETs
    is_failing: bool = True  # else nothing of it is to be noticed but that it takes longer
    ill: tuple[str, ...] = ("b2",)
    backup: str = ""


def _order(mood: str) -> Callable[[Machine], None]:
    return lambda machine: machine.be(mood)


_WELL = _order("well")
_ON_500 = {"on": ["connect", "reset", 500, 502, 503, 504]}

FAULTS = {
    "kill": Fault("killed, and started again on the same port", Machine.kill, Machine.start),
    "freeze": Fault("stopped (SIGSTOP), and goes on", Machine.freeze, Machine.thaw),
    "partition": Fault("cut off: connects time out, connections are silent", Machine.cut_off, Machine.rejoin),
    "reset-accept": Fault("resets every connection as soon as there is one", _order("reset-accept"), _WELL),
    "reset-read": Fault("resets every connection once it has read the request", _order("reset-read"), _WELL),
    "errors-503": Fault("answers 503 to everything, at once", _order("status 503"), _WELL),
    "errors-500": Fault("answers 500 to everything, at once; retry.on has 500", _order("status 500"), _WELL, _ON_500),
    "errors-500-unasked": Fault(
        "answers 500 to everything; retry.on is the default", _order("status 500"), _WELL, visible=(500,)
    ),
    "errors-hidden": Fault(
        "answers 500 to everything but its health checks; retry.on has 500", _order("status 500 but-health"), _WELL, _ON_500
    ),
    "both-killed": Fault(
        "killed, and started again, while b3 is their backup", Machine.kill, Machine.start, ill=("b1", "b2"), backup="b3"
    ),
    "slow": Fault("takes ten times as long", _order("slow"), _WELL, is_failing=False),
}
