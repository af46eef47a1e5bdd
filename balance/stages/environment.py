"""What stages are built with besides the configuration of their route: the listener around it and the live state they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from balance.config.model import HttpConfig
from balance.config.route_model import RouteConfig


@dataclass(frozen=True, slots=True)
class StageEnvironment:
    """One for each listener and configuration."""

    listener: str
    http: HttpConfig
    routes: tuple[RouteConfig, ...]  # of the listener, in the file's order
    rand: Callable[[], float]  # a number in [0, 1)
    epoch_s: float = 0.0  # when it was made, since the epoch
    monotonic_s: float = 0.0  # the same moment on the monotonic clock
    regions: frozenset[str] = frozenset()  # those of all backends
