"""What is known of one pool's autoscaler at a moment, as control writes it and the admin port reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from balance.autoscaling.decision import Decision
from balance.autoscaling.settings import AutoscalerConfig


@dataclass(frozen=True, slots=True)
class AutoscalerView:
    """`decision` None: nothing was decided yet, or the size is not known."""

    pool: str
    config: AutoscalerConfig
    decision: Decision | None = None
    members: int = 0  # backends of the pool that get traffic, or would
    ready: int = 0
    leader: str = ""  # "this one", another balancer's id, or "" where none can be known
    leads: bool = False
    token: int = 0
    balancers: int = 1
    problem: str = ""  # why nothing can be done now
    changed_ago_s: float | None = None  # since the last change of size that is known
    at: float = 0.0  # seconds since the epoch
    decisions: Mapping[str, int] = field(default_factory=dict)  # by action, where this one leads
    errors: Mapping[str, int] = field(default_factory=dict)  # by kind
    processes: Mapping[str, int] = field(default_factory=dict)  # driver process: by phase
    is_crashing: bool = False  # driver process: no more are started for a while

    @property
    def state(self) -> str:
        """One word."""
        if self.is_crashing:
            return "crash_loop"
        if self.problem:
            return "held"
        if self.decision is None:
            return "starting"
        if self.config.dry_run:
            return "dry_run"
        return "leading" if self.leads else "following"
