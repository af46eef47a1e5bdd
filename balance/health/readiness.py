"""Whether Balance as a whole is well (`/health`) and wants traffic (`/ready`), with the reasons why not.

Decides from numbers and states that others gathered; knows nothing of HTTP, processes or clocks.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from balance.health.states import State

STUCK_AFTER_US = 10_000_000  # a worker beats several times a second; ten seconds of silence is no busy moment


class Stage(enum.IntEnum):
    """How far the program is. The numbers are cells of the shared board, so append only."""

    STARTING = 0
    SERVING = 1
    DRAINING = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class PoolStates(NamedTuple):
    """What `/ready` needs to know of one pool."""

    name: str
    is_checked: bool
    states: Sequence[State]


class Worker(NamedTuple):
    """What `/health` needs to know of one worker: its process (0 when gone) and when its clock beat last."""

    pid: int
    beat_us: int


def takes_new(states: Iterable[State]) -> bool:
    """Whether backends in these states, those with weight, leave anybody for what is new."""
    return any(state.is_passing for state in states)


def why_not_ready(stage: Stage, pools: Iterable[PoolStates]) -> list[str]:
    """Why no traffic should be sent here now, empty when it should. Order: the whole first, then pools as configured."""
    reasons = []
    if stage is not Stage.SERVING:
        reasons.append(stage.word)
    for pool in pools:
        if State.HEALTHY in pool.states or (State.UNKNOWN in pool.states and not pool.is_checked):
            continue
        if not pool.states:
            reasons.append(f"pool {pool.name}: every backend has weight 0")
        elif State.EJECTED in pool.states or State.RETURNING in pool.states:
            continue  # where nobody else is ready, whoever passes the checks is asked all the same
        elif State.UNKNOWN in pool.states:
            reasons.append(f"pool {pool.name}: the first health checks are not answered yet")
        else:
            reasons.append(f"pool {pool.name}: no backend is healthy")
    return reasons


def is_stuck(worker: Worker, now_us: int) -> bool:
    """Whether a living worker has stopped turning. A worker that has not beaten yet is only starting."""
    return bool(worker.pid and worker.beat_us) and now_us - worker.beat_us > STUCK_AFTER_US


def why_unhealthy(stage: Stage, workers: Sequence[Worker], now_us: int) -> list[str]:
    """Why a supervisor outside should replace this instance, empty when it should not. One good worker is enough."""
    if stage is Stage.STARTING or any(worker.pid and not is_stuck(worker, now_us) for worker in workers):
        return []
    if any(worker.pid for worker in workers):
        return [f"no worker has turned for {STUCK_AFTER_US // 1_000_000}s"]
    if stage is Stage.DRAINING:
        return []  # the workers are gone because their work is done
    return ["no worker is alive"]
