"""Autoscalers: what they measure, want and do."""

from __future__ import annotations

from typing import Final

from balance.admin.metrics.definition import COUNTER, GAUGE, Definition

_SCALED: Final = "for pools with an autoscaler"
_POOL: Final = ("pool",)

CURRENT: Final = Definition(
    "balance_autoscaler_current", GAUGE, _POOL, "Backends that were asked for last.",
    "Far from desired: `balance autoscaler` says why.", _SCALED,
)  # fmt: skip
DESIRED: Final = Definition(
    "balance_autoscaler_desired", GAUGE, _POOL, "Backends that there are to be now, a step at a time.",
    "At max for long: raise max, or find out where the load is from.", _SCALED,
)  # fmt: skip
RECOMMENDED: Final = Definition(
    "balance_autoscaler_recommended", GAUGE, _POOL, "Backends that the load asks for, within min..max and the window.",
    "Above desired for long: step is too small.", _SCALED,
)  # fmt: skip
LIMIT_MAX: Final = Definition("balance_autoscaler_max", GAUGE, _POOL, "`autoscaler.max`.", "Compare with desired.", _SCALED)
VALUE: Final = Definition(
    "balance_autoscaler_value", GAUGE, _POOL, "The metric that it goes by; no sample while it is not known.",
    "Missing: nothing is changed; `balance autoscaler` says why.", _SCALED,
)  # fmt: skip
LEADER: Final = Definition(
    "balance_autoscaler_leader", GAUGE, _POOL, "1 where this balancer decides.",
    "The sum over all balancers is not 1 for long: Redis can't be used.", _SCALED,
)  # fmt: skip
DECISIONS: Final = Definition(
    "balance_autoscaler_decisions_total", COUNTER, ("pool", "action"), "Decisions of the balancer that leads.",
    "up and down in turns: the window or the cooldown is too short.", _SCALED,
)  # fmt: skip
ERRORS: Final = Definition(
    "balance_autoscaler_errors_total", COUNTER, ("pool", "kind"),
    "Turns in which nothing could be done: the driver failed, another one leads since (fenced), the store can't be used.",
    "The log and `balance autoscaler` say what.", _SCALED,
)  # fmt: skip
CRASHING: Final = Definition(
    "balance_autoscaler_crash_loop", GAUGE, _POOL, "1 while no more processes are started, as too many in a row have ended.",
    "The log: what they wrote.", "for pools with driver process",
)  # fmt: skip

DEFINITIONS: Final = (CURRENT, DESIRED, RECOMMENDED, LIMIT_MAX, VALUE, LEADER, DECISIONS, ERRORS, CRASHING)
