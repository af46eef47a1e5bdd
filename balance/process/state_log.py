"""The log lines for changes of backend states, circuit breakers and panic mode."""

from __future__ import annotations

import logging

from balance.config.model import BackendConfig
from balance.health.circuit_breaker import BreakerChange, BreakerState
from balance.health.states import State, Transition

INFO_STATES = frozenset((State.UNKNOWN, State.HEALTHY, State.RETURNING))  # logged at info: no action needed


def backend_name(pool: str, backend: BackendConfig) -> str:
    """As log lines name a backend."""
    return f"backend {pool}/{backend.name} ({backend.address})"


def log_state(log: logging.Logger, name: str, transition: Transition, reason: str) -> None:
    """A backend's state has changed."""
    level = logging.INFO if transition.after in INFO_STATES else logging.WARNING
    log.log(level, "%s is %s: %s", name, transition.after.word, reason)


def log_panic(log: logging.Logger, pool: str, is_panic: bool) -> None:
    """A pool has entered or left panic mode."""
    if is_panic:
        log.warning("pool %s: so few backends are ready that all are used", pool)
    else:
        log.info("pool %s: enough backends are ready again", pool)


def log_breaker(log: logging.Logger, name: str, change: BreakerChange) -> None:
    """A circuit breaker has changed."""
    level = logging.WARNING if change.after is BreakerState.OPEN else logging.INFO
    until = f"; it is tried again in {change.open_s:g}s" if change.open_s else ""
    log.log(level, "the circuit breaker of %s is %s: %s%s", name, change.after.word, change.signal.text, until)
