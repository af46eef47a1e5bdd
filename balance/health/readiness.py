"""Liveness (`/health`) and readiness (`/ready`) of the instance, with the reasons when it is not."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from balance.health.states import State

STUCK_AFTER_US: Final = 10_000_000  # workers write a heartbeat several times a second


class Stage(enum.IntEnum):
    """The instance's lifecycle. The numbers are cells of the shared board, so append only."""

    STARTING = 0
    SERVING = 1
    DRAINING = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class PoolStates(NamedTuple):
    """One pool's part in `/ready`."""

    name: str
    is_checked: bool
    states: Sequence[State]
    nobody: str = "every backend has weight 0"  # why there are no states; "": there may be none


class Worker(NamedTuple):
    """One worker's part in `/health`: its pid, 0 when it has ended, and the time of its last heartbeat."""

    pid: int
    heartbeat_us: int


def accepts_new(states: Iterable[State]) -> bool:
    """Whether new requests can be served by backends in these states (those with a weight above 0)."""
    return any(state.is_passing for state in states)


def not_ready_reasons(stage: Stage, pools: Iterable[PoolStates]) -> list[str]:
    """Why the instance should get no traffic, [] when it should: its stage first, then the pools as configured."""
    reasons = []
    if stage is not Stage.SERVING:
        reasons.append(stage.word)
    for pool in pools:
        if State.HEALTHY in pool.states or (State.UNKNOWN in pool.states and not pool.is_checked):
            continue
        if not pool.states:
            reasons += [f"pool {pool.name}: {pool.nobody}"] if pool.nobody else []
        elif State.EJECTED in pool.states or State.RETURNING in pool.states:
            continue  # ejected backends are used when no other is ready
        elif State.UNKNOWN in pool.states:
            reasons.append(f"pool {pool.name}: the first health checks are not answered yet")
        else:
            reasons.append(f"pool {pool.name}: no backend is healthy")
    return reasons


def is_stuck(worker: Worker, now_us: int) -> bool:
    """Whether a running worker has missed its heartbeats. One without any is still starting."""
    return bool(worker.pid and worker.heartbeat_us) and now_us - worker.heartbeat_us > STUCK_AFTER_US


def unhealthy_reasons(stage: Stage, workers: Sequence[Worker], now_us: int) -> list[str]:
    """Why an orchestrator should restart the instance, [] when it should not. One responsive worker is enough."""
    if stage is Stage.STARTING or any(worker.pid and not is_stuck(worker, now_us) for worker in workers):
        return []
    if any(worker.pid for worker in workers):
        return [f"no worker has turned for {STUCK_AFTER_US // 1_000_000}s"]
    if stage is Stage.DRAINING:
        return []  # the workers have drained and ended
    return ["no worker is alive"]
