"""Panic mode as in Envoy: with too few ready backends all are used, so that the rest is not overloaded."""

from __future__ import annotations

from collections.abc import Iterable

from balance.health.states import State


def is_panic(states: Iterable[State], threshold_percent: int, backups: Iterable[State] = ()) -> bool:
    """Whether fewer than the threshold of the backends are ready. Backends that an operator took out are not counted.

    No panic when none is ready but a backup is: the backup is used then.
    """
    ready = total = 0
    for state in states:
        if not state.is_operator_set:
            total += 1
            ready += state.is_ready
    if ready * 100 >= threshold_percent * total:
        return False
    return ready > 0 or not any(state.is_ready for state in backups)
