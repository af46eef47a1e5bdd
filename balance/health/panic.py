"""When so few backends are left that all are better: the ready ones would only be the next to fall (Envoy's panic mode)."""

from __future__ import annotations

from collections.abc import Iterable

from balance.health.states import State


def is_panic(states: Iterable[State], threshold_percent: int, backups: Iterable[State] = ()) -> bool:
    """Whether less than the threshold of the backends is ready. Those an operator has taken out count on neither side.

    Where none is, a backup that is ready serves instead: it is better than backends of which all are known to be unwell.
    """
    ready = asked = 0
    for state in states:
        if not state.is_ordered:
            asked += 1
            ready += state.is_ready
    if ready * 100 >= threshold_percent * asked:
        return False
    return ready > 0 or not any(state.is_ready for state in backups)
