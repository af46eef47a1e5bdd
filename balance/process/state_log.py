"""How a change of a backend is said in the log: one line, with its reason. Whoever made the change says it, once."""

from __future__ import annotations

import logging

from balance.config.model import BackendConfig
from balance.health.circuit_breaker import BreakerChange, BreakerState
from balance.health.states import State, Transition

INFO_STATES = frozenset((State.UNKNOWN, State.HEALTHY, State.RETURNING))  # nobody has to do anything about it


def backend_name(pool: str, backend: BackendConfig) -> str:
    """Enough to find it in the configuration and on the network."""
    return f"backend {pool}/{backend.name} ({backend.address})"


def log_state(log: logging.Logger, name: str, transition: Transition, reason: str) -> None:
    """A backend stands otherwise than before."""
    level = logging.INFO if transition.after in INFO_STATES else logging.WARNING
    log.log(level, "%s is %s: %s", name, transition.after.word, reason)


def log_panic(log: logging.Logger, pool: str, is_panic: bool) -> None:
    """A pool uses all its backends, or no longer."""
    if is_panic:
        log.warning("pool %s: so few backends are ready that all are used", pool)
    else:
        log.info("pool %s: enough backends are ready again", pool)


def log_breaker(log: logging.Logger, name: str, change: BreakerChange) -> None:
    """A breaker has moved."""
    level = logging.WARNING if change.after is BreakerState.OPEN else logging.INFO
    until = f"; it is tried again in {change.open_s:g}s" if change.open_s else ""
    log.log(level, "the circuit breaker of %s is %s: %s%s", name, change.after.word, change.signal.text, until)
