"""What the program reads of `autoscaler`: how many backends a pool may have, by which number, and who starts and stops them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AutoscalerConfig:
    """Of one pool. What belongs to one driver alone stays empty elsewhere."""

    enabled: bool = False
    min: int = 1
    max: int = 10
    metric: str = "requests"  # requests, active, latency
    target: float = 20.0  # per backend: requests in an interval, or those under way; latency: milliseconds
    interval_s: float = 15.0
    cooldown_s: float = 120.0
    step: int = 1
    window_s: float = 300.0
    driver: str = "process"  # process, exec, webhook, kubernetes
    command: tuple[str, ...] = ()  # process, exec
    url: str = ""  # webhook
    token: str = field(default="", repr=False)  # webhook; a secret
    deployment: str = ""  # kubernetes: NAME or NAMESPACE/NAME
    kubeconfig: str = ""  # kubernetes; "": in the cluster
    timeout_s: float = 10.0  # exec, webhook, kubernetes: of one action
    dry_run: bool = False
